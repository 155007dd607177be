/**
 * Packed data for other trainers: Parquet that Hugging Face `datasets` opens, and JSON Lines with the two fields that
 * LLaMA fine-tuning scripts share. One row a pack, without padding; labels unshifted, as those trainers shift by
 * themselves. A bucket is read and written some packs at a time.
 */
import { joinPath } from '../../base/path.ts';
import { JsonlWriter } from '../../formats/jsonl.ts';
import type { FileWriter, Host } from '../../host/types.ts';
import { type FileFacts, writeAside } from './aside.ts';
import { hfLabels, type PackedBucket, type PackedFolder, type StoredPack } from './open.ts';

/** Tokens of one row group, and read at once. */
const GROUP_TOKENS = 1 << 18;

/** Columns beside `input_ids` and `labels`. */
export interface ExportOptions {
  /** Position inside the segment, from 0. Default true. */
  readonly positions?: boolean;
  /** Number of the segment in its pack, from 1: tokens of different numbers must not attend to each other. Default true. */
  readonly segments?: boolean;
}

/** The columns of a pack. */
function rowOf(pack: StoredPack): Record<'input_ids' | 'labels' | 'position_ids' | 'segment_ids', number[]> {
  const { used, tokens, segments } = pack;
  const positions: number[] = [];
  const numbers: number[] = [];
  segments.forEach(({ length }, i) => {
    for (let t = 0; t < length; t++) {
      positions.push(t);
      numbers.push(i + 1);
    }
  });
  return { input_ids: Array.from(tokens).slice(0, used), labels: Array.from(hfLabels(pack).subarray(0, used)), position_ids: positions, segment_ids: numbers };
}

async function* groups(bucket: PackedBucket, T: number): AsyncGenerator<ReturnType<typeof rowOf>[]> {
  const step = Math.max(1, Math.floor(GROUP_TOKENS / T));
  for (let first = 0; first < bucket.packs; first += step) {
    yield (await bucket.read(first, Math.min(step, bucket.packs - first))).map(rowOf);
  }
}

/** Visits the buckets of a folder, each with the file it goes to. */
async function exportBuckets(
  host: Host,
  folder: PackedFolder,
  out: string,
  nameOf: (bucket: number) => string,
  write: (bucket: PackedBucket, writer: FileWriter) => Promise<void>,
): Promise<(FileFacts & { readonly path: string })[]> {
  await host.files.makeDir(out);
  const written: (FileFacts & { path: string })[] = [];
  for (let k = 0; k < folder.manifest.buckets.length; k++) {
    const bucket = await folder.bucket(k);
    try {
      const path = joinPath(out, nameOf(k));
      written.push({ path, ...(await writeAside(host, path, (writer) => write(bucket, writer))) });
    } finally {
      await bucket.close();
    }
  }
  return written;
}

/** Writes `bucket-NN.parquet` for each bucket into `out`: list columns of 32-bit integers, one row a pack. */
export async function exportParquet(
  host: Host,
  folder: PackedFolder,
  out: string,
  options: ExportOptions = {},
): Promise<(FileFacts & { readonly path: string })[]> {
  const { ByteWriter, ParquetWriter } = await import('hyparquet-writer/src/index.js');
  const columns = [
    'input_ids',
    'labels',
    ...(options.positions === false ? [] : (['position_ids'] as const)),
    ...(options.segments === false ? [] : (['segment_ids'] as const)),
  ] as const;
  return exportBuckets(
    host,
    folder,
    out,
    (k) => `bucket-${String(k).padStart(2, '0')}.parquet`,
    async (bucket, file) => {
      const writer = new ByteWriter();
      const flush = async (): Promise<void> => {
        await file.write(writer.getBytes());
        writer.index = 0;
      };
      const parquet = new ParquetWriter({
        writer,
        createdBy: 'scion',
        schema: [
          { name: 'root', num_children: columns.length },
          ...columns.flatMap((name) => [
            { name, repetition_type: 'REQUIRED' as const, converted_type: 'LIST' as const, num_children: 1 },
            { name: 'list', repetition_type: 'REPEATED' as const, num_children: 1 },
            { name: 'element', type: 'INT32' as const, repetition_type: 'REQUIRED' as const },
          ]),
        ],
      });
      for await (const rows of groups(bucket, folder.manifest.T)) {
        await parquet.write({ columnData: columns.map((name) => ({ name, data: rows.map((row) => row[name]) })), rowGroupSize: rows.length });
        await flush();
      }
      await parquet.finish();
      await flush();
    },
  );
}

/** Writes `part-NNNNN.jsonl` for each bucket into `out`: `{"input_ids": […], "labels": […]}` a line, and more columns on request. */
export async function exportJsonl(
  host: Host,
  folder: PackedFolder,
  out: string,
  options: ExportOptions = {},
): Promise<(FileFacts & { readonly path: string })[]> {
  const { positions = false, segments = false } = options;
  return exportBuckets(
    host,
    folder,
    out,
    (k) => `part-${String(k).padStart(5, '0')}.jsonl`,
    async (bucket, file) => {
      const writer = new JsonlWriter(file);
      for await (const rows of groups(bucket, folder.manifest.T)) {
        for (const { input_ids, labels, position_ids, segment_ids } of rows) {
          await writer.write({ input_ids, labels, ...(positions ? { position_ids } : {}), ...(segments ? { segment_ids } : {}) });
        }
      }
      await writer.flush();
    },
  );
}
