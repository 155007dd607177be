/**
 * Traditional to simplified Chinese, by opencc-js. The preset says what the text is: `t` changes characters only and is
 * right for old texts; `twp` and `hkp` also change the words of Taiwan and Hong Kong (軟體 to 软件), `tw` and `hk` only
 * their character forms.
 */

export type SimplifyFrom = 't' | 'tw' | 'twp' | 'hk' | 'hkp';

/** Loads the tables and gives the conversion. */
export async function createSimplifier(from: SimplifyFrom): Promise<(text: string) => string> {
  const { Converter } = await import('opencc-js');
  return Converter({ from, to: 'cn' });
}
