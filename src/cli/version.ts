/** The package's version, kept equal to package.json by a test; a page cannot read that file. */
export const VERSION = '0.1.0';
