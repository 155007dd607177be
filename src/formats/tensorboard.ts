/**
 * TensorBoard event files: a sequence of TFRecords, each a protobuf `Event`. Writes scalars and
 * texts, which is what a training log needs; every viewer of the format reads them. A file is only
 * ever appended to. After a crash its last record may be torn, which would hide all that follows,
 * so opening for append first cuts such a tail off.
 */
import { ScionError } from '../base/errors.ts';
import type { FileReader, FileWriter, HostFiles } from '../host/types.ts';
import { asReader, readExactly } from './bytes.ts';
import { crc32c } from './crc32c.ts';
import { bytesOf, doubleOf, floatOf, int64Of, intOf, MessageWriter, readFields, stringOf } from './protobuf.ts';

/** Largest record that is read; a text summary is the only large kind. */
const MAX_RECORD_BYTES = 16 * 2 ** 20;
const FILE_VERSION = 'brain.Event:2';
/** DataType DT_STRING and SessionLog.SessionStatus START of TensorFlow's protos. */
const DT_STRING = 7;
const SESSION_START = 1;

/** TFRecord masks its checksums, since a CRC over data with CRCs inside is weak. */
export function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** One TFRecord: length, checksum of the length, data, checksum of the data. */
export function frameRecord(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(data.length + 16);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(out.subarray(0, 8)), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return out;
}

/** What goes into one event. */
export interface TrainingEvent {
  /** Seconds since the epoch. */
  readonly wallTime: number;
  readonly step: number;
  readonly fileVersion?: string;
  /** True in the event a resumed run starts with: viewers then drop what an earlier run logged from `step` on. */
  readonly restart?: boolean;
  readonly scalars: ReadonlyMap<string, number>;
  /** Markdown by tag. */
  readonly texts: ReadonlyMap<string, string>;
}

function encodeText(tag: string, text: string): Uint8Array {
  const plugin = new MessageWriter().bytes(1, new MessageWriter().string(1, 'text').finish()).finish();
  const shape = new MessageWriter().bytes(2, new MessageWriter().int(1, 1).finish()).finish();
  const tensor = new MessageWriter().int(1, DT_STRING).bytes(2, shape).string(8, text).finish();
  return new MessageWriter().string(1, tag).bytes(8, tensor).bytes(9, plugin).finish();
}

/** The protobuf of an event. */
export function encodeEvent(event: TrainingEvent): Uint8Array<ArrayBuffer> {
  const out = new MessageWriter().double(1, event.wallTime);
  if (event.step !== 0) out.int(2, event.step);
  if (event.fileVersion !== undefined) out.string(3, event.fileVersion);
  if (event.scalars.size + event.texts.size > 0) {
    const summary = new MessageWriter();
    for (const [tag, value] of event.scalars) summary.bytes(1, new MessageWriter().string(1, tag).float(2, value).finish());
    for (const [tag, text] of event.texts) summary.bytes(1, encodeText(tag, text));
    out.bytes(5, summary.finish());
  }
  if (event.restart) out.bytes(7, new MessageWriter().int(1, SESSION_START).finish());
  return out.finish();
}

/** Reads what `encodeEvent` writes, skipping fields it does not know. */
export function decodeEvent(message: Uint8Array, what: string): TrainingEvent {
  let wallTime = 0;
  let step = 0;
  let fileVersion: string | undefined;
  let restart = false;
  const scalars = new Map<string, number>();
  const texts = new Map<string, string>();
  for (const field of readFields(message, what)) {
    if (field.number === 1) wallTime = doubleOf(field, what);
    else if (field.number === 2) step = int64Of(field, what);
    else if (field.number === 3) fileVersion = stringOf(field, what);
    else if (field.number === 5) decodeSummary(bytesOf(field, what), what, scalars, texts);
    else if (field.number === 7) {
      for (const part of readFields(bytesOf(field, what), what)) if (part.number === 1) restart = intOf(part, what) === SESSION_START;
    }
  }
  return { wallTime, step, ...(fileVersion === undefined ? {} : { fileVersion }), ...(restart ? { restart } : {}), scalars, texts };
}

function decodeSummary(message: Uint8Array, what: string, scalars: Map<string, number>, texts: Map<string, string>): void {
  for (const value of readFields(message, what)) {
    if (value.number !== 1) continue;
    let tag = '';
    let scalar: number | undefined;
    let text: string | undefined;
    for (const field of readFields(bytesOf(value, what), what)) {
      if (field.number === 1) tag = stringOf(field, what);
      else if (field.number === 2) scalar = floatOf(field, what);
      else if (field.number === 8) {
        for (const part of readFields(bytesOf(field, what), what)) if (part.number === 8) text = stringOf(part, what);
      }
    }
    if (scalar !== undefined) scalars.set(tag, scalar);
    else if (text !== undefined) texts.set(tag, text);
  }
}

/**
 * The records of a file with the offset behind each. A file cut in the middle of its last record
 * ends quietly there if `tolerateTail` is set; every other fault is a ScionError of kind `format`.
 */
export async function* readRecords(
  source: FileReader | Uint8Array,
  what: string,
  options: { tolerateTail?: boolean } = {},
): AsyncGenerator<{ data: Uint8Array<ArrayBuffer>; next: number }> {
  const reader = asReader(source);
  for (let at = 0; at < reader.size; ) {
    const left = reader.size - at;
    if (left < 12 && options.tolerateTail) return;
    const head = await readExactly(reader, at, 12, `${what}: record head`);
    const view = new DataView(head.buffer, head.byteOffset, 12);
    if (view.getUint32(8, true) !== maskedCrc(head.subarray(0, 8)))
      throw new ScionError('format', `${what}: the record at byte ${at} has a length with a wrong checksum`, { at });
    const length = view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true);
    if (length > MAX_RECORD_BYTES)
      throw new ScionError('format', `${what}: the record at byte ${at} claims ${length} bytes; at most ${MAX_RECORD_BYTES} are read`, { at, length });
    if (length + 16 > left && options.tolerateTail) return;
    const body = await readExactly(reader, at + 12, length + 4, `${what}: record at byte ${at}`);
    const data = body.slice(0, length);
    if (new DataView(body.buffer, body.byteOffset).getUint32(length, true) !== maskedCrc(data)) {
      throw new ScionError('format', `${what}: the record at byte ${at} has data with a wrong checksum`, { at });
    }
    at += length + 16;
    yield { data, next: at };
  }
}

/** The events of a file. */
export async function* readEvents(source: FileReader | Uint8Array, what: string): AsyncGenerator<TrainingEvent> {
  for await (const { data } of readRecords(source, what)) yield decodeEvent(data, what);
}

/** The name that TensorBoard looks for in a run's folder. */
export function eventFileName(seconds: number, suffix: string): string {
  return `events.out.tfevents.${Math.floor(seconds)}.${suffix.replace(/[^A-Za-z0-9_.-]/g, '_')}`;
}

/** An event file being written. Each call is one record; nothing is buffered here. */
export class EventWriter {
  private readonly writer: FileWriter;
  private readonly now: () => number;

  /** `now` gives seconds since the epoch. */
  constructor(writer: FileWriter, now: () => number = () => Date.now() / 1000) {
    this.writer = writer;
    this.now = now;
  }

  private async event(step: number, part: Partial<TrainingEvent>): Promise<void> {
    const event: TrainingEvent = { wallTime: this.now(), step, scalars: new Map(), texts: new Map(), ...part };
    await this.writer.write(frameRecord(encodeEvent(event)));
  }

  /** The event every file starts with. */
  start(): Promise<void> {
    return this.event(0, { fileVersion: FILE_VERSION });
  }

  /** Marks that a resumed run goes on from `step`. */
  restart(step: number): Promise<void> {
    return this.event(step, { restart: true });
  }

  /** Scalars of one step, as f32; NaN and infinities are written as such. */
  scalars(step: number, values: Readonly<Record<string, number>>): Promise<void> {
    return this.event(step, { scalars: new Map(Object.entries(values)) });
  }

  /** A text, shown as Markdown. */
  text(step: number, tag: string, text: string): Promise<void> {
    return this.event(step, { texts: new Map([[tag, text]]) });
  }

  sync(): Promise<void> {
    return this.writer.sync();
  }

  close(): Promise<void> {
    return this.writer.close();
  }
}

/**
 * Opens an event file for writing; one that exists is gone on with, less a torn last record (the
 * intact part is then rewritten aside and renamed, as hosts cannot cut files). A file damaged
 * elsewhere is refused. `now` gives seconds since the epoch.
 */
export async function openEventWriter(files: HostFiles, path: string, now?: () => number): Promise<EventWriter> {
  const stat = await files.stat(path);
  let intact = 0;
  if (stat !== null && stat.size > 0) {
    const reader = await files.open(path);
    try {
      for await (const { next } of readRecords(reader, path, { tolerateTail: true })) intact = next;
      if (intact > 0 && intact < reader.size) await rewrite(files, path, reader, intact);
    } finally {
      await reader.close();
    }
  }
  const writer = new EventWriter(await files.create(path, { append: intact > 0 }), now);
  if (intact === 0) await writer.start();
  return writer;
}

async function rewrite(files: HostFiles, path: string, reader: FileReader, length: number): Promise<void> {
  const aside = `${path}.tmp`;
  const writer = await files.create(aside);
  try {
    for (let at = 0; at < length; at += MAX_RECORD_BYTES) {
      await writer.write(await readExactly(reader, at, Math.min(MAX_RECORD_BYTES, length - at), path));
    }
    await writer.sync();
  } finally {
    await writer.close();
  }
  await files.rename(aside, path);
}
