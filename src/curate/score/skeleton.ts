/**
 * The skeleton of a text: marks and function words as they are, everything else by its outline (capital or not, length,
 * ending; runs of Han characters by their number). Its n-grams tell of word order whatever a page is about, so few pages
 * suffice to learn what shuffled or stitched text looks like.
 */
import { mix32 } from '../../base/mix.ts';
import { characterTables } from './characters.ts';
import { UNIT, UnitScanner } from './units.ts';

/** Chinese characters that are function words or parts of such. */
const HAN =
  '的了是在和与及或也都就而但为為以于於从從到对對被把将將这這那其之所者地得着過过们們个個一不有没沒会會能要可上下中来來去年月日等并並则則又还還已使由因此若如当當且即各每再却只很更最';
/** English words of four letters or more; shorter ones are kept whatever they are. */
const ENGLISH =
  'that this with from have been were which their they them there these those when where what will would could should than then also such into over some more most other only about after before between because while each both being does very just like many much even under through during through your here'.split(
    ' ',
  );
/** Words up to so many letters are kept: articles, prepositions, pronouns of most languages with an alphabet. */
const SHORT = 3;
/** Longest run of Han characters told from longer ones. */
const LONGEST_RUN = 8;

const functionHashes: ReadonlySet<number> = (() => {
  const scanner = new UnitScanner({ marks: false, digits: 'shape' });
  const set = new Set<number>();
  for (const word of [...HAN, ...ENGLISH]) set.add(scanner.scan(word).hashes[0]);
  return set;
})();

/** Reads skeletons; `hashes` are those of the last one. */
export class Skeleton {
  hashes = new Uint32Array(1024);

  /** The skeleton of units `from` to `to`; gives its length. */
  read(text: string, scanner: UnitScanner, from: number, to: number): number {
    const { hashes, kinds, starts, ends } = scanner;
    const { folds } = characterTables();
    if (this.hashes.length < to - from + 1) this.hashes = new Uint32Array(2 * (to - from + 1));
    const out = this.hashes;
    let n = 0;
    let run = 0;
    for (let i = from; i < to; i++) {
      const kind = kinds[i];
      const known = functionHashes.has(hashes[i]);
      if (kind === UNIT.character && !known) {
        run++;
        continue;
      }
      if (run > 0) {
        out[n++] = mix32(0x10000 + Math.min(run, LONGEST_RUN));
        run = 0;
      }
      if (kind === UNIT.word) {
        const first = text.charCodeAt(starts[i]);
        const capital = folds[first] !== first ? 1 : 0;
        const length = ends[i] - starts[i];
        if (known || length <= SHORT) out[n++] = mix32(hashes[i] + capital);
        else {
          // The ending of a word tells what it does in a sentence: -ing, -ed, -s, -ly.
          const ending = folds[text.charCodeAt(ends[i] - 1)] * 131 + folds[text.charCodeAt(ends[i] - 2)];
          out[n++] = mix32(0x20000000 + ending * 64 + (length > 7 ? 2 : 0) + capital);
        }
      } else if (kind === UNIT.number) out[n++] = mix32(0x30000 + Math.min(4, ends[i] - starts[i]));
      else out[n++] = hashes[i];
    }
    if (run > 0) out[n++] = mix32(0x10000 + Math.min(run, LONGEST_RUN));
    return n;
  }
}
