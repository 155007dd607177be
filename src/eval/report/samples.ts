/**
 * Samples on disk: one JSON line for each question that a model answered, appended as units are done. A file cut off by a kill is taken up at its
 * last whole line, after every line there was held against what is asked now; so an evaluation resumed is the file that an undisturbed one writes, byte for byte.
 */
import { ScionError } from '../../base/errors.ts';
import { JsonlWriter, readJsonl } from '../../formats/jsonl.ts';
import type { FileWriter, HostFiles } from '../../host/types.ts';
import type { Method, SampleOutput } from '../types.ts';

/** A line: the output, and what each metric made of it. */
export interface SampleLine extends SampleOutput {
  readonly scores: Readonly<Record<string, number | null>>;
  /** What the first metric that saw a choice saw. */
  readonly chosen: string | null;
}

/** What a line must be of to be kept. */
export interface Expected {
  readonly task: string;
  readonly method: Method;
  readonly id: string;
  readonly promptSha256: string;
}

const LF = 10;

/** Bytes of the whole lines at a file's beginning. */
async function wholeLines(files: HostFiles, path: string): Promise<{ size: number; whole: number }> {
  const stat = await files.stat(path);
  if (stat === null) return { size: 0, whole: 0 };
  const reader = await files.open(path);
  try {
    const block = 1 << 16;
    for (let end = stat.size; end > 0; ) {
      const from = Math.max(0, end - block);
      const at = (await reader.read(from, end - from)).lastIndexOf(LF);
      if (at >= 0) return { size: stat.size, whole: from + at + 1 };
      end = from;
    }
    return { size: stat.size, whole: 0 };
  } finally {
    await reader.close();
  }
}

/** Cuts a file to its first bytes, by way of another name: a crash leaves one or the other. */
async function cutTo(files: HostFiles, path: string, bytes: number): Promise<void> {
  const aside = `${path}.part`;
  const reader = await files.open(path);
  try {
    const writer = await files.create(aside);
    try {
      for (let at = 0; at < bytes; at += 1 << 20) await writer.write(await reader.read(at, Math.min(1 << 20, bytes - at)));
      await writer.sync();
    } finally {
      await writer.close();
    }
  } finally {
    await reader.close();
  }
  await files.rename(aside, path);
}

/** A file of samples, open for more. */
export class SampleFile {
  /** Lines that were there, in the order they were asked. */
  readonly known: readonly SampleLine[];
  private readonly file: FileWriter;
  private readonly jsonl: JsonlWriter;

  private constructor(known: readonly SampleLine[], file: FileWriter) {
    this.known = known;
    this.file = file;
    this.jsonl = new JsonlWriter(file);
  }

  /**
   * Opens or begins a file whose lines will be `expected`.
   * @throws ScionError `input` where a line is of another question, prompt or task: the file is another evaluation's.
   */
  static async open(files: HostFiles, path: string, expected: readonly Expected[]): Promise<SampleFile> {
    const { size, whole } = await wholeLines(files, path);
    if (whole < size) await cutTo(files, path, whole);
    const known: SampleLine[] = [];
    if (whole > 0) {
      const reader = await files.open(path);
      try {
        for await (const { value, line } of readJsonl(reader, { name: path })) {
          const found = value as SampleLine;
          const wanted = expected[known.length];
          const same =
            wanted && found?.task === wanted.task && found.method === wanted.method && found.id === wanted.id && found.promptSha256 === wanted.promptSha256;
          if (!same)
            throw new ScionError(
              'input',
              `${path}:${line} is of another evaluation: ${wanted ? `question ${wanted.id} of ${wanted.task} by ${wanted.method} is asked here` : `only ${expected.length} questions are asked`}; name another --out, or --fresh to begin anew`,
              { path, line },
            );
          known.push(found);
        }
      } finally {
        await reader.close();
      }
    }
    return new SampleFile(known, await files.create(path, { append: true }));
  }

  async add(line: SampleLine): Promise<void> {
    await this.jsonl.write(line);
  }

  /** Makes what was added last. */
  async sync(): Promise<void> {
    await this.jsonl.flush();
    await this.file.sync();
  }

  async close(): Promise<void> {
    await this.sync();
    await this.file.close();
  }
}
