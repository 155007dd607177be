/** The generated corpus as files, so that `{sample: en}` is a source like any other: training documents, and its own held-out ones. */
import { joinPath } from '../../base/path.ts';
import { sampleSplits } from '../../data/sample/index.ts';
import { writeWhole } from '../../host/whole-file.ts';
import type { Step } from '../engine.ts';
import type { RunContext } from './context.ts';

/** By language, below the run folder. */
export interface SampleResult {
  readonly train: Readonly<Record<string, string>>;
  readonly validation: Readonly<Record<string, { readonly path: string; readonly documents: number; readonly bytes: number }>>;
}

/** Held-out documents a language. */
const MOST_HELD = 150;
/** Raised when the corpus changes. */
const SAMPLE_VERSION = 1;

/** Writes the languages that a recipe asks for. */
export function sampleStep(context: RunContext, languages: readonly ('en' | 'zh')[]): Step<SampleResult> {
  const { host, dir } = context;
  return {
    id: 'sample',
    title: 'make the sample corpus',
    owns: ['sample'],
    inputs: () => ({ SAMPLE_VERSION, languages }),
    async run() {
      const splits = sampleSplits();
      const folder = joinPath(dir, 'sample');
      await host.files.makeDir(joinPath(folder, 'validation'));
      const train: Record<string, string> = {};
      const validation: Record<string, { path: string; documents: number; bytes: number }> = {};
      const encoder = new TextEncoder();
      const linesOf = (documents: readonly { id: string; lang: string; target: string }[]): Uint8Array =>
        encoder.encode(documents.map((d) => `${JSON.stringify({ id: d.id, lang: d.lang, category: d.lang, target: d.target })}\n`).join(''));
      for (const lang of languages) {
        train[lang] = joinPath('sample', `${lang}.jsonl`);
        await writeWhole(host.files, joinPath(dir, train[lang]), linesOf(splits.train.filter((d) => d.lang === lang)));
        const held = splits.validation.filter((d) => d.lang === lang).slice(0, MOST_HELD);
        const path = joinPath('sample', 'validation', `${lang}.jsonl`);
        await writeWhole(host.files, joinPath(dir, path), linesOf(held));
        validation[lang] = { path, documents: held.length, bytes: held.reduce((sum, d) => sum + encoder.encode(d.target).length, 0) };
      }
      return { train, validation };
    },
    intact: async (result) => (await Promise.all(Object.values(result.train).map((path) => host.files.stat(joinPath(dir, path))))).every((s) => s !== null),
  };
}
