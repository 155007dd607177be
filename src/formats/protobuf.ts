/**
 * The wire format of protocol buffers: tags, varints, fixed and length-delimited fields. Just
 * enough for SentencePiece models and TensorBoard events, without schemas or code generation.
 * Strict where the format is lax: varints are at most ten bytes, lengths stay inside their message,
 * groups (unused for two decades) are refused. Reading copies nothing; fields are views.
 */
import { ScionError } from '../base/errors.ts';
import { decodeUtf8 } from './bytes.ts';

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

/** One field as it stands on the wire. */
export interface WireField {
  readonly number: number;
  readonly wire: number;
  /** Tag and value, for passing a field on unchanged. */
  readonly raw: Uint8Array;
  /** The value's bytes: content of a length-delimited field, 4 or 8 bytes of a fixed one. */
  readonly body: Uint8Array;
  /** The unsigned value of a varint, else 0; a bigint where it passes 49 bits. */
  readonly varint: number | bigint;
}

/** The fields of a message in their order. Throws a ScionError of kind `format` at the first fault. */
export function* readFields(message: Uint8Array, what: string): Generator<WireField> {
  let at = 0;
  const refuse = (fault: string): never => {
    throw new ScionError('format', `${what}: ${fault} at byte ${at} of ${message.length}`, { at, length: message.length });
  };
  const varint = (): number | bigint => {
    let value = 0;
    // Up to 49 bits in a double, which covers nearly every varint; the rest in a bigint.
    for (let i = 0; i < 7; i++) {
      const byte = message[at++] ?? refuse('a number is cut off');
      value += (byte & 127) * 2 ** (7 * i);
      if (byte < 128) return value;
    }
    let big = BigInt(value);
    for (let i = 7; i < 10; i++) {
      const byte = message[at++] ?? refuse('a number is cut off');
      if (i === 9 && byte > 1) refuse('a number passes 64 bits');
      big |= BigInt(byte & 127) << BigInt(7 * i);
      if (byte < 128) return big;
    }
    return refuse('a number passes ten bytes');
  };
  while (at < message.length) {
    const start = at;
    const tag = Number(varint());
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    if (number < 1 || number > 0x1fffffff) refuse(`field number ${number} is none`);
    let value: number | bigint = 0;
    let from = at;
    if (wire === VARINT) value = varint();
    else if (wire === FIXED64) at += 8;
    else if (wire === FIXED32) at += 4;
    else if (wire === BYTES) {
      const length = Number(varint());
      from = at;
      if (length > message.length - at) refuse(`field ${number} claims ${length} bytes, ${message.length - at} are left`);
      at += length;
    } else refuse(`field ${number} has the unknown wire type ${wire}`);
    if (at > message.length) refuse(`field ${number} is cut off`);
    yield { number, wire, raw: message.subarray(start, at), body: message.subarray(from, at), varint: value };
  }
}

/** How a known field's value is written; `int` is any signed or enum type of 32 bits. */
export type FieldType = 'int' | 'int64' | 'bool' | 'float' | 'double' | 'string' | 'bytes';

const WIRE_OF: Readonly<Record<FieldType, number>> = { int: VARINT, int64: VARINT, bool: VARINT, float: FIXED32, double: FIXED64, string: BYTES, bytes: BYTES };

function mustBe(field: WireField, type: FieldType, what: string): void {
  if (field.wire !== WIRE_OF[type]) {
    throw new ScionError('format', `${what}: field ${field.number} should be of type ${type}, but has wire type ${field.wire}`, {
      number: field.number,
      wire: field.wire,
    });
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The value of a string field. */
export function stringOf(field: WireField, what: string): string {
  mustBe(field, 'string', what);
  return decodeUtf8(field.body, `${what}: field ${field.number}`);
}

/** The value of a bytes or message field, as a view. */
export function bytesOf(field: WireField, what: string): Uint8Array {
  mustBe(field, 'bytes', what);
  return field.body;
}

export function floatOf(field: WireField, what: string): number {
  mustBe(field, 'float', what);
  return viewOf(field.body).getFloat32(0, true);
}

export function doubleOf(field: WireField, what: string): number {
  mustBe(field, 'double', what);
  return viewOf(field.body).getFloat64(0, true);
}

/** A signed 64-bit value; kind `format` where it passes what a double holds exactly. */
export function int64Of(field: WireField, what: string): number {
  mustBe(field, 'int64', what);
  const value = Number(BigInt.asIntN(64, BigInt(field.varint)));
  if (!Number.isSafeInteger(value)) throw new ScionError('format', `${what}: field ${field.number} holds ${value}, beyond 2^53`, { number: field.number });
  return value;
}

/** A signed or enum value of 32 bits; wider ones are cut, as every protobuf library does. */
export function intOf(field: WireField, what: string): number {
  mustBe(field, 'int', what);
  return Number(BigInt.asIntN(32, BigInt(field.varint)));
}

export function boolOf(field: WireField, what: string): boolean {
  mustBe(field, 'bool', what);
  return Number(field.varint) !== 0;
}

const encoder = new TextEncoder();

/** Builds a message field by field, in the order of the calls, in one growing buffer. */
export class MessageWriter {
  private buffer = new Uint8Array(64);
  private view = new DataView(this.buffer.buffer);
  private length = 0;

  /** Makes room for `bytes` more and gives the place where they go. */
  private take(bytes: number): number {
    const at = this.length;
    this.length += bytes;
    if (this.length > this.buffer.length) {
      const grown = new Uint8Array(Math.max(this.length, 2 * this.buffer.length));
      grown.set(this.buffer.subarray(0, at));
      this.buffer = grown;
      this.view = new DataView(grown.buffer);
    }
    return at;
  }

  private put(byte: number): void {
    // `take` may replace the buffer, so it must run first.
    const at = this.take(1);
    this.buffer[at] = byte;
  }

  /** Negative values are written as their 64-bit two's complement. */
  private varint(value: number): void {
    if (value < 0) {
      let rest = BigInt.asUintN(64, BigInt(value));
      for (; rest > 127n; rest >>= 7n) this.put(Number(rest & 127n) | 128);
      this.put(Number(rest));
      return;
    }
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) this.put((rest % 128) | 128);
    this.put(rest);
  }

  /** A signed, enum or 64-bit value. */
  int(number: number, value: number): this {
    this.varint(number * 8 + VARINT);
    this.varint(value);
    return this;
  }

  bool(number: number, value: boolean): this {
    return this.int(number, value ? 1 : 0);
  }

  float(number: number, value: number): this {
    this.varint(number * 8 + FIXED32);
    const at = this.take(4);
    this.view.setFloat32(at, value, true);
    return this;
  }

  double(number: number, value: number): this {
    this.varint(number * 8 + FIXED64);
    const at = this.take(8);
    this.view.setFloat64(at, value, true);
    return this;
  }

  /** A bytes or message field. */
  bytes(number: number, value: Uint8Array): this {
    this.varint(number * 8 + BYTES);
    this.varint(value.length);
    return this.raw(value);
  }

  string(number: number, value: string): this {
    return this.bytes(number, encoder.encode(value));
  }

  /** Fields already on the wire. */
  raw(bytes: Uint8Array): this {
    const at = this.take(bytes.length);
    this.buffer.set(bytes, at);
    return this;
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.buffer.slice(0, this.length);
  }
}
