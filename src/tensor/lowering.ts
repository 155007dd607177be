/**
 * What an op's `lower` talks to: collects launches and scratch for one plan, and cuts large tensors
 * into row windows. Addresses are not known yet; commands resolve once the arena is laid out.
 */
import { ScionError } from '../base/errors.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import { type Move, mapMove } from './exchange.ts';
import type { Node, Value } from './graph.ts';
import { type DispatchSpec, foldGrid, type Lowering, type Operand, type Scratch, type Slice, type Window } from './op.ts';
import type { BufferRef, Command } from './plan.ts';
import { BINDING_ALIGN, byteSize, dtypeBytes, sizeOf, typeName } from './types.ts';

/** A command whose operands are still values and scratches. */
export interface PendingCommand {
  resolve(refOf: (v: Value) => BufferRef, scratchRef: (s: Scratch) => BufferRef): Command;
}

const isScratch = (o: Operand): o is Scratch => 'scratch' in o;
const isSlice = (o: Operand): o is Slice => 'of' in o;

export class LoweringContext implements Lowering {
  readonly facts: DeviceFacts;
  readonly commands: PendingCommand[] = [];
  readonly scratches: (Scratch & { at: number; node: string })[] = [];
  private readonly homeOf: (v: Value) => number;
  private node: Node | null = null;
  private at = 0;
  private pending: ({ spec: DispatchSpec } | { command: PendingCommand })[] = [];
  private exchanges = 0;
  /** The collective that each value comes from, by the value's memory. */
  private readonly arriving = new Map<number, number>();

  constructor(facts: DeviceFacts, homeOf: (v: Value) => number) {
    this.facts = facts;
    this.homeOf = homeOf;
  }

  /** Lowers one node; `copies` are inputs to be copied to outputs first, where an in-place op could not take them over. */
  lower(node: Node, at: number, copies: readonly { from: Value; to: Value }[]): void {
    this.node = node;
    this.at = at;
    this.pending = [];
    for (const { from, to } of copies) this.copyRaw(from, to);
    node.op.lower(this, node);
    // The node's cost is split over its launches where they do not say their own.
    const cost = node.op.cost(node);
    const silent = this.pending.filter((p) => 'spec' in p && p.spec.flops === undefined).length;
    for (const p of this.pending) this.commands.push('spec' in p ? this.finish(p.spec, node, cost, silent) : p.command);
  }

  private finish(spec: DispatchSpec, node: Node, cost: { flops: number; bytes: number }, silent: number): PendingCommand {
    const switches: Record<string, boolean | number | string> = { ...spec.switches };
    for (const [name, operand] of Object.entries(spec.bind)) {
      const base = isSlice(operand) ? operand.of : operand;
      if (!isScratch(base) && base.dtype === 'f16') switches[`${name}_F16`] = true;
    }
    const { segment, phase } = node;
    return {
      resolve: (refOf, scratchRef) => {
        const whole = (o: Value | Scratch) => (isScratch(o) ? scratchRef(o) : refOf(o));
        const bind = Object.fromEntries(
          Object.entries(spec.bind).map(([name, o]) => {
            if (!isSlice(o)) return [name, whole(o)];
            const ref = whole(o.of);
            return [name, { buffer: ref.buffer, offset: ref.offset + o.offset, bytes: o.bytes }];
          }),
        );
        return {
          kind: 'dispatch',
          kernel: spec.kernel,
          entry: spec.entry ?? 'main',
          switches,
          constants: spec.constants ?? {},
          bind,
          params: spec.params ?? {},
          grid: spec.grid,
          node: node.op.name,
          segment,
          phase,
          flops: spec.flops ?? cost.flops / Math.max(1, silent),
          bytes: spec.bytes ?? cost.bytes / Math.max(1, silent),
        };
      },
    };
  }

  dispatch(spec: DispatchSpec): void {
    // One dispatch may not bind one range twice: a tensor used as two operands is copied for the second.
    const seen = new Set<number>();
    const bind: Record<string, Operand> = {};
    for (const [name, operand] of Object.entries(spec.bind)) {
      if (isScratch(operand) || isSlice(operand)) {
        bind[name] = operand;
        continue;
      }
      const home = this.homeOf(operand);
      if (!seen.has(home)) {
        seen.add(home);
        bind[name] = operand;
        continue;
      }
      const twin = this.scratch(byteSize(operand));
      this.copyRaw(operand, twin);
      bind[name] = { of: twin, offset: 0, bytes: byteSize(operand) };
      if (operand.dtype === 'f16') spec = { ...spec, switches: { ...spec.switches, [`${name}_F16`]: true } };
    }
    this.pending.push({ spec: { ...spec, bind } });
  }

  /** Copies words as they are. */
  private copyRaw(from: Value, to: Operand): void {
    const words = byteSize(from) / 4;
    this.pending.push({
      spec: {
        kernel: 'elementwise/copy_words',
        bind: { X: from, Y: to },
        params: { n: words },
        grid: foldGrid(Math.ceil(words / 64)),
        flops: 0,
        bytes: words * 8,
      },
    });
  }

  clear(value: Value, part?: { readonly offset: number; readonly bytes: number }): void {
    if (this.pending.length > 0) throw new ScionError('internal', 'clear comes before the launches of a node');
    this.commands.push({
      resolve: (refOf) => {
        const ref = refOf(value);
        return { kind: 'clear', ref: part ? { buffer: ref.buffer, offset: ref.offset + part.offset, bytes: part.bytes } : ref };
      },
    });
  }

  exchange(move: Move<Slice>): number {
    const id = this.exchanges++;
    const node = this.node?.op.name ?? '';
    this.pending.push({
      command: {
        resolve: (refOf, scratchRef) => {
          const resolved = mapMove(move, (slice): BufferRef => {
            const whole = isScratch(slice.of) ? scratchRef(slice.of) : refOf(slice.of);
            return { buffer: whole.buffer, offset: whole.offset + slice.offset, bytes: slice.bytes };
          });
          return { kind: 'exchange', id, move: resolved, node };
        },
      },
    });
    return id;
  }

  await(id: number): void {
    this.pending.push({ command: { resolve: () => ({ kind: 'await', id }) } });
  }

  begin(value: Value, id: number): void {
    this.arriving.set(this.homeOf(value), id);
  }

  end(value: Value): void {
    const id = this.arriving.get(this.homeOf(value));
    if (id === undefined) throw new ScionError('internal', `${this.node?.op.name}: nothing was begun for ${typeName(value)}`);
    this.await(id);
  }

  scratch(bytes: number): Scratch {
    const scratch = { scratch: this.scratches.length, bytes: Math.max(4, Math.ceil(bytes / 4) * 4), at: this.at, node: this.node?.op.name ?? '' };
    this.scratches.push(scratch);
    return scratch;
  }

  windows(value: Value): Window[] {
    const rows = value.shape.length === 0 ? 1 : value.shape[0];
    const total = byteSize(value);
    const limit = this.facts.limits.maxStorageBufferBindingSize;
    if (total <= limit) return [{ row: 0, rows, slice: { of: value, offset: 0, bytes: total } }];
    const rowBytes = (sizeOf(value.shape) / rows) * dtypeBytes(value.dtype);
    let run = 1;
    while (run * 2 * rowBytes <= limit) run *= 2;
    if (run * rowBytes > limit || (run * rowBytes) % BINDING_ALIGN !== 0) {
      throw new ScionError(
        'plan',
        `${this.node?.op.name}: ${typeName(value)} has rows of ${rowBytes} bytes, which cannot be bound in windows of at most ${limit} bytes`,
      );
    }
    const out: Window[] = [];
    for (let row = 0; row < rows; row += run) {
      const n = Math.min(run, rows - row);
      out.push({ row, rows: n, slice: { of: value, offset: row * rowBytes, bytes: Math.ceil((n * rowBytes) / 4) * 4 } });
    }
    return out;
  }

  rows(of: Value | Scratch, rowBytes: number, row: number, rows: number): Slice {
    return { of, offset: row * rowBytes, bytes: Math.ceil((rows * rowBytes) / 4) * 4 };
  }

  accumulates(index: number): boolean {
    return this.node?.into[index] !== null && this.node?.into[index] !== undefined;
  }
}
