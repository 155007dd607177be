/**
 * Questions with options about the sample's facts, for scoring by likelihood. Wordings are those held out of training
 * (`sampleQuestions`), wrong options are other answers of the same relation, and each position is right equally often, so that
 * neither form nor place tells the answer. What a model could know without the subject is counted beside it (`sampleAnswerCounts`).
 */
import { ScionError } from '../../base/errors.ts';
import { Random } from '../../base/random.ts';
import { FACTS } from './facts.ts';
import type { SampleDocument, SampleQuestion } from './index.ts';
import { sampleQuestions } from './index.ts';
import type { Lang } from './teller.ts';

/** A question and what may follow it. */
export interface SampleChoice {
  readonly id: string;
  readonly lang: Lang;
  /** The relation, for example `capital`. */
  readonly category: string;
  readonly prompt: string;
  /** What stands before an answer to anything, where the form has such a thing; else empty. */
  readonly cue: string;
  /** Texts that follow the prompt, with their leading space where the language has one. */
  readonly options: readonly string[];
  /** Index of the right one. */
  readonly correct: number;
}

/** Which questions. */
export interface SampleChoiceOptions {
  /** Draws wrong options and places. Default 1. */
  readonly seed?: number;
  /** Default: those of the injection stage, `INJECTED_RELATIONS`. */
  readonly relations?: readonly string[];
  /** Options a question. Default 4. */
  readonly options?: number;
}

/**
 * Relations whose facts the injection stage teaches. Nearly every fact of them has an answer of its own, so the commonest answer is
 * right hardly more often than any other: what is measured is the fact, not the habit.
 */
export const INJECTED_RELATIONS: readonly string[] = ['capital', 'author', 'symbol'];

const CUES: Readonly<Record<Lang, string>> = { en: 'Answer:', zh: '答：' };

/**
 * Questions in a language, in the order of `sampleQuestions`; the same on every host. Both wordings of a fact that are held out are asked.
 * @throws ScionError `usage` for an unknown relation, or one with fewer answers than options.
 */
export function sampleChoiceQuestions(lang: Lang, options: SampleChoiceOptions = {}): SampleChoice[] {
  const { seed = 1, relations = INJECTED_RELATIONS, options: count = 4 } = options;
  const answers = new Map(relations.map((r) => [r, [...new Set((FACTS.get(r) ?? []).map((f) => f.object[lang]))]]));
  for (const [relation, all] of answers) {
    if (!Number.isInteger(count) || count < 2 || all.length < count)
      throw new ScionError(
        'usage',
        `sample questions: ${count} options of relation "${relation}" were asked for, it has ${all.length} answers; ask for 2 to ${Math.max(2, all.length)}, and for relations of ${[...FACTS.keys()].join(', ')}`,
        { relation, count, answers: all.length },
      );
  }
  const asked = sampleQuestions().filter((q) => q.lang === lang && answers.has(q.category));
  const random = new Random(seed, lang === 'en' ? 1 : 2);
  const places = random.shuffle(asked.map((_, i) => i % count));
  return asked.map((q, i) => {
    const right = q.answer.trimStart();
    const space = q.answer.slice(0, q.answer.length - right.length);
    const wrong = random.shuffle((answers.get(q.category) ?? []).filter((a) => a !== right)).slice(0, count - 1);
    const all = [...wrong.slice(0, places[i]), right, ...wrong.slice(places[i])];
    return { id: q.id, lang, category: q.category, prompt: q.prompt, cue: cueOf(q), options: all.map((a) => space + a), correct: places[i] };
  });
}

function cueOf(q: SampleQuestion): string {
  return q.form === 'question' ? CUES[q.lang] : '';
}

/**
 * In how many of the documents each answer of a relation stands beside its subject: what "the commonest answer" means, by relation and option text
 * (with its leading space, as in `SampleChoice.options`).
 */
export function sampleAnswerCounts(
  documents: readonly Pick<SampleDocument, 'target'>[],
  lang: Lang,
  relations: readonly string[] = INJECTED_RELATIONS,
): Map<string, Map<string, number>> {
  const texts = documents.map((d) => d.target);
  const space = lang === 'en' ? ' ' : '';
  const out = new Map<string, Map<string, number>>();
  for (const relation of relations) {
    const counts = new Map<string, number>();
    for (const f of FACTS.get(relation) ?? []) {
      const [subject, object] = [f.subject[lang], f.object[lang]];
      const n = texts.filter((t) => t.includes(object) && t.includes(subject)).length;
      counts.set(space + object, (counts.get(space + object) ?? 0) + n);
    }
    out.set(relation, counts);
  }
  return out;
}
