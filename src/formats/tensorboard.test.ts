/** TensorBoard event files: framing, checksums and values of its own reader. */
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { posixFiles } from '../host/posix.ts';
import { joinBytes } from './bytes.ts';
import { crc32c } from './crc32c.ts';
import { encodeEvent, eventFileName, frameRecord, maskedCrc, openEventWriter, readEvents, readRecords, type TrainingEvent } from './tensorboard.ts';

const none = { scalars: new Map<string, number>(), texts: new Map<string, string>() };

async function events(bytes: Uint8Array): Promise<TrainingEvent[]> {
  const all: TrainingEvent[] = [];
  for await (const event of readEvents(bytes, 'events')) all.push(event);
  return all;
}

describe('crc32c', () => {
  // RFC 3720, appendix B.4; the last is the check value of the CRC catalogue.
  it.each([
    ['32 zeros', new Uint8Array(32), 0x8a9136aa],
    ['32 ones', new Uint8Array(32).fill(255), 0x62a8ab43],
    ['0 to 31', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ['31 to 0', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
    ['123456789', new TextEncoder().encode('123456789'), 0xe3069283],
  ])('of %s', (_, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
  });
});

describe('encoding', () => {
  it('gives the bytes that TensorBoard gives', () => {
    const hex = (event: TrainingEvent) => Buffer.from(frameRecord(encodeEvent(event))).toString('hex');
    // From Python: tensorboard 2.21.0, RecordWriter over Event protos with these fields.
    const golden = [
      '1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c',
      '2c00000000000000f4aecc4509000000000000004010ac022a1e0a110a0a747261696e2f6c6f7373150000003f0a090a026c721552499d39803893d9',
      '31000000000000009d8383e909000000000000084010012a240a220a06636f6e666967420e08071204120208014204232068694a080a060a047465787493a57f39',
      '0f000000000000006d532b0909000000000000104010643a02080159322c88',
    ];
    expect(hex({ wallTime: 1.5, step: 0, fileVersion: 'brain.Event:2', ...none })).toBe(golden[0]);
    expect(
      hex({
        wallTime: 2,
        step: 300,
        scalars: new Map([
          ['train/loss', 0.5],
          ['lr', 3e-4],
        ]),
        texts: new Map(),
      }),
    ).toBe(golden[1]);
    expect(hex({ wallTime: 3, step: 1, scalars: new Map(), texts: new Map([['config', '# hi']]) })).toBe(golden[2]);
    expect(hex({ wallTime: 4, step: 100, restart: true, ...none })).toBe(golden[3]);
  });

  it('masks as TFRecord does: rotated by 15, plus a constant', () => {
    expect(maskedCrc(new TextEncoder().encode('123456789'))).toBe((((0xe3069283 >>> 15) | (0xe3069283 << 17)) + 0xa282ead8) >>> 0);
  });

  it('names files as TensorBoard expects', () => {
    expect(eventFileName(12.7, 'a b/c')).toBe('events.out.tfevents.12.a_b_c');
  });
});

describe('a file', () => {
  let folder = '';
  let path = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'scion-'));
    path = join(folder, eventFileName(0, 'test'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function write(step: number): Promise<void> {
    let clock = 100;
    const writer = await openEventWriter(posixFiles, path, () => clock++);
    if (step > 0) await writer.restart(step);
    await writer.scalars(step, { loss: 2.5, 'grad/norm': Number.POSITIVE_INFINITY });
    await writer.text(step, 'note', '水\n**b**');
    await writer.sync();
    await writer.close();
  }

  it('reads back, and goes on after a restart with one start event', async () => {
    await write(0);
    await write(7);
    const read = await events(await readFile(path));
    expect(read.map(({ step, fileVersion, restart }) => [step, fileVersion, restart])).toEqual([
      [0, 'brain.Event:2', undefined],
      [0, undefined, undefined],
      [0, undefined, undefined],
      [7, undefined, true],
      [7, undefined, undefined],
      [7, undefined, undefined],
    ]);
    expect(read[1].scalars).toEqual(
      new Map([
        ['loss', 2.5],
        ['grad/norm', Number.POSITIVE_INFINITY],
      ]),
    );
    expect(read[5].texts).toEqual(new Map([['note', '水\n**b**']]));
    expect(read[1].wallTime).toBe(101);
  });

  it('cuts a torn record off at every length and goes on', async () => {
    await write(0);
    const whole = await readFile(path);
    let last = 0;
    const ends: number[] = [];
    for await (const { next } of readRecords(new Uint8Array(whole), 'f')) ends.push(next);
    for (let cut = 1; cut < whole.length; cut += 3) {
      await writeFile(path, whole.subarray(0, cut));
      await (await openEventWriter(posixFiles, path)).close();
      last = ends.filter((end) => end <= cut).pop() ?? 0;
      const kept = await readFile(path);
      // Torn in the very first record: the file starts anew with a start event of its own time.
      if (last === 0) expect((await events(kept)).length).toBe(1);
      else expect(kept.equals(whole.subarray(0, last))).toBe(true);
    }
    expect((await readdir(folder)).length).toBe(1);
  });

  it('refuses to append to a file damaged before its end', async () => {
    await write(0);
    const bytes = await readFile(path);
    bytes[20] ^= 1;
    await writeFile(path, bytes);
    await expect(openEventWriter(posixFiles, path)).rejects.toThrow('record at byte 0 has data with a wrong checksum');
    await appendFile(path, 'x');
    await expect(events(await readFile(path))).rejects.toMatchObject({ kind: 'format' });
  });
});

describe('readRecords', () => {
  const head = (length: bigint) => {
    const bytes = new Uint8Array(12);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, length, true);
    view.setUint32(8, maskedCrc(bytes.subarray(0, 8)), true);
    return bytes;
  };
  it.each([
    ['a wrong length checksum', frameRecord(new Uint8Array(3)).fill(9, 8, 9), 'a length with a wrong checksum'],
    ['a wrong data checksum', frameRecord(new Uint8Array(3)).fill(9, 12, 13), 'data with a wrong checksum'],
    ['a length over the cap', head(2n ** 63n), 'at most 16777216 are read'],
    ['a length past the end', head(100n), 'are needed, but the file has 12'],
    ['a short head', new Uint8Array(11), 'bytes 0 to 12 are needed'],
    ['an event that is no protobuf', frameRecord(new Uint8Array([255])), 'cut off'],
    ['text that is no UTF-8', frameRecord(new Uint8Array([0x1a, 1, 255])), 'not valid UTF-8'],
  ])('refuses %s', async (_, bytes, message) => {
    await expect(events(bytes)).rejects.toMatchObject({ kind: 'format', message: expect.stringContaining(message) });
  });

  it('skips fields it does not know', async () => {
    const event = joinBytes([encodeEvent({ wallTime: 1, step: 2, ...none }), new Uint8Array([0x7a, 1, 0])]);
    expect(await events(frameRecord(event))).toEqual([{ wallTime: 1, step: 2, ...none }]);
  });
});
