/**
 * Reads a tar archive held in memory: plain files of ustar archives with short names, which is all that
 * the one package unpacked here contains. Not for archives from strangers: other entries are refused,
 * not worked around.
 */

const text = (bytes) => {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
};

/** Every plain file of the archive: `{ name, mode, bytes }`; throws on links and unsafe names. */
export function untar(archive) {
  const files = [];
  let at = 0;
  while (at + 512 <= archive.length && archive[at] !== 0) {
    const header = archive.subarray(at, at + 512);
    const name = text(header.subarray(0, 100));
    const size = Number.parseInt(text(header.subarray(124, 136)).trim() || '0', 8);
    const type = String.fromCharCode(header[156]);
    if (name.startsWith('/') || name.split('/').includes('..')) throw new Error(`tar: entry "${name}" points outside its folder`);
    if (!Number.isInteger(size) || at + 512 + size > archive.length)
      throw new Error(`tar: entry "${name}" says ${size} bytes, ${archive.length - at - 512} are left`);
    if (type === '0' || type === '\0') {
      files.push({ name, mode: Number.parseInt(text(header.subarray(100, 108)).trim() || '644', 8), bytes: archive.subarray(at + 512, at + 512 + size) });
    } else if (type !== '5') {
      throw new Error(`tar: entry "${name}" has type ${JSON.stringify(type)}; only files and folders are read`);
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}
