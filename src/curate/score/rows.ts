/**
 * Texts gathered as sparse rows for fitting: one row a passage, and which document each row came from, so that splits
 * and measures go by document. Grows by doubling; bounded, since a fit holds all its rows in memory.
 */
import { ScionError } from '../../base/errors.ts';
import { type FeatureConfig, FeatureExtractor, featureCount } from './features.ts';
import type { SparseRows } from './fit.ts';
import { UnitScanner } from './units.ts';

/** Most numbers of all rows together; 20 bytes each while fitting. */
const MAX_NUMBERS = 2 ** 26;

export class RowBuilder {
  readonly #extractor: FeatureExtractor;
  readonly #scanner = new UnitScanner({ marks: true, digits: 'shape' });
  #ids = new Uint32Array(2 ** 16);
  #values = new Float32Array(2 ** 16);
  #used = 0;
  readonly #starts: number[] = [0];
  readonly #labels: number[] = [];
  readonly #documents: number[] = [];
  documents = 0;

  constructor(config: FeatureConfig) {
    this.#extractor = new FeatureExtractor(config);
  }

  /** Adds a document's passages. @throws ScionError `input` where there are too many numbers for one fit. */
  add(text: string, label: number): void {
    const x = this.#extractor;
    x.each(text, this.#scanner.scan(text), () => {
      if (this.#used + x.count > MAX_NUMBERS)
        throw new ScionError('input', `training a classifier: more than ${MAX_NUMBERS} numbers after ${this.documents} documents; give fewer, or set limit`, {
          documents: this.documents,
        });
      while (this.#used + x.count > this.#ids.length) {
        const ids = new Uint32Array(this.#ids.length * 2);
        ids.set(this.#ids);
        this.#ids = ids;
        const values = new Float32Array(ids.length);
        values.set(this.#values);
        this.#values = values;
      }
      this.#ids.set(x.ids.subarray(0, x.count), this.#used);
      this.#values.set(x.values.subarray(0, x.count), this.#used);
      this.#used += x.count;
      this.#starts.push(this.#used);
      this.#labels.push(label);
      this.#documents.push(this.documents);
    });
    this.documents++;
  }

  /** What was gathered; `documents[i]` is the document of row i. */
  rows(classes: number): SparseRows & { readonly documents: Uint32Array } {
    return {
      starts: Uint32Array.from(this.#starts),
      ids: this.#ids.slice(0, this.#used),
      values: this.#values.slice(0, this.#used),
      labels: Int32Array.from(this.#labels),
      documents: Uint32Array.from(this.#documents),
      width: featureCount(this.#extractor.config),
      classes,
    };
  }
}
