/**
 * The score step: looks at one document, writes its scores and tags into the record, and drops it only where a rule
 * says so. Everything it needs is plain configuration and files, so every worker makes its own.
 */
import { z } from 'zod';
import { ScionError } from '../../base/errors.ts';
import { type Doc, docText } from '../../data/doc.ts';
import { decodeUtf8 } from '../../formats/bytes.ts';
import type { HostFiles } from '../../host/types.ts';
import type { Drop, MapStep, Tally } from '../step.ts';
import { type ScoreConfig, scoreSchema } from './config.ts';
import { LinearScorer } from './linear.ts';
import { NgramModel } from './ngram-model.ts';
import { readability } from './readability.ts';
import { UnitScanner } from './units.ts';
import { parseWordList, WordMatcher } from './word-lists.ts';

export { ngramSchema, type ScoreConfig, scoreSchema } from './config.ts';

/** Six digits are more than any score means, and keep the record short. */
const rounded = (x: number): number => Number(x.toPrecision(6));

/** Makes the step. @throws ScionError `input` for a configuration that is wrong, `input` or `format` for its files. */
export async function createScorer(config: unknown, resources: { readonly files: HostFiles }): Promise<MapStep> {
  const parsed = scoreSchema.safeParse(config);
  if (!parsed.success) throw new ScionError('input', `score: ${z.prettifyError(parsed.error)}`);
  const options: ScoreConfig = parsed.data;
  const { files } = resources;
  const classifiers = await Promise.all(
    options.classifiers.map(async ({ path, name, tagAt }) => {
      const scorer = await LinearScorer.load(files, path);
      return { scorer, name: name ?? scorer.card.name, tagAt };
    }),
  );
  const ngram = options.ngram ? await NgramModel.load(files, options.ngram.path) : null;
  const lists = await Promise.all(
    options.safety.map(async ({ name, words, file }) =>
      file === undefined ? { name, words: words ?? [] } : parseWordList(name, decodeUtf8(await files.read(file), file)),
    ),
  );
  const matcher = lists.length > 0 ? new WordMatcher(lists) : null;
  const drops = Object.entries(options.drop);
  const scanner = new UnitScanner({ marks: true, digits: 'shape' });

  return {
    name: 'score',
    apply(doc: Doc, tally: Tally): Doc | Drop {
      const text = docText(doc);
      scanner.scan(text);
      const scores: Record<string, number> = { ...doc.scores };
      const tags = new Set(doc.tags);
      for (const { scorer, name, tagAt } of classifiers) {
        const p = scorer.score(text, scanner);
        const { labels } = scorer.card;
        if (p.length === 1) {
          scores[name] = rounded(p[0]);
          if (tagAt !== undefined && p[0] >= tagAt) tags.add(`${name}:${labels[1]}`);
          continue;
        }
        let best = 0;
        for (let o = 1; o < p.length; o++) if (p[o] > p[best]) best = o;
        scores[name] = rounded(p[best]);
        if (p[best] >= (tagAt ?? 0.5)) tags.add(`${name}:${labels[best]}`);
      }
      if (ngram && text !== '') scores.ngram = rounded(ngram.perplexity(text, options.ngram?.maxBytes));
      if (options.readability) {
        const found = readability(text, scanner, doc.lang === undefined || doc.lang.toLowerCase().startsWith('en'));
        for (const [name, value] of Object.entries(found ?? {})) scores[`readability.${name}`] = rounded(value);
      }
      if (matcher) {
        matcher.count(text, scanner).forEach((hits, i) => {
          const { name, minHits } = options.safety[i];
          scores[`safety.${name}`] = rounded((1000 * hits) / Math.max(1, scanner.count));
          if (hits < minHits) return;
          tags.add(`safety:${name}`);
          tally.count(`score.safety-${name}`);
        });
      }
      if (Object.keys(scores).length > 0) doc.scores = scores;
      if (tags.size > 0) doc.tags = [...tags].sort();
      for (const [name, { below, above }] of drops) {
        const value = scores[name];
        // A document that a score says nothing about is not judged by it.
        if (value === undefined) continue;
        if (below !== undefined && value < below) return { reason: `score.below-${name}`, note: `${name} ${value} of at least ${below}` };
        if (above !== undefined && value > above) return { reason: `score.above-${name}`, note: `${name} ${value} of at most ${above}` };
      }
      return doc;
    },
  };
}
