/**
 * A plain ustar archive of files in memory, what every `tar` unpacks. No times or owners, so that equal contents give
 * equal bytes; names of up to 100 bytes, which is all that the pack has.
 */

/** @param files `{ name, bytes, mode }`; folders are made by whoever unpacks */
export function tar(files) {
  const blocks = [];
  for (const { name, bytes, mode } of files) {
    if (Buffer.byteLength(name) > 100) throw new RangeError(`tar: the name ${name} has more than 100 bytes`);
    const header = Buffer.alloc(512);
    const octal = (value, offset, length) => header.write(value.toString(8).padStart(length - 1, '0'), offset, 'ascii');
    header.write(name, 0, 'utf8');
    octal(mode, 100, 8);
    octal(0, 108, 8);
    octal(0, 116, 8);
    octal(bytes.length, 124, 12);
    octal(0, 136, 12);
    header.write('0', 156, 'ascii');
    header.write('ustar\u000000', 257, 'latin1');
    // The checksum counts its own field as spaces.
    header.fill(' ', 148, 156);
    const sum = header.reduce((a, b) => a + b, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148, 'latin1');
    blocks.push(header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}
