/**
 * The words of this folder: what a tokenizer is and what may be asked of it. Types only, so that encoders,
 * loaders and tests share them without a cycle.
 */

/** Choices of one `encode` call. */
export interface EncodeOptions {
  /** Put the begin mark first. Default false: nothing is added unless asked for. */
  readonly bos?: boolean;
  /** Put the end mark last. Default false. */
  readonly eos?: boolean;
  /**
   * Let marks written out in the text (`</s>`, `<|eot_id|>`) become their control ids. Default false:
   * text from outside can never forge a mark.
   */
  readonly allowSpecial?: boolean;
}

/** Choices of one `decode` call. */
export interface DecodeOptions {
  /** Leave control ids out of the text. Default true. */
  readonly skipSpecial?: boolean;
}

/** Decoding an id at a time; what is pushed joins to what `decode` gives for the whole. */
export interface StreamDecoder {
  /** The text that became certain with this id; may be empty while a character is incomplete. */
  push(id: number): string;
  /** What was still held back; incomplete bytes become U+FFFD. */
  end(): string;
}

/** The files a tokenizer came from, so that it can be written as it came. */
export interface TokenizerSource {
  /** `tokenizer.model` or `tokenizer.json`. */
  readonly name: 'tokenizer.model' | 'tokenizer.json';
  readonly bytes: Uint8Array;
  /** The small files beside it (`tokenizer_config.json`, …), by name, as they came. */
  readonly neighbours?: ReadonlyMap<string, Uint8Array>;
}

/** What the files beside a vocabulary say of its marks; what is absent is left to the vocabulary itself. */
export interface MarkSettings {
  readonly source: TokenizerSource;
  /** The marks by name. */
  readonly names?: { readonly bos?: string; readonly eos?: string; readonly pad?: string; readonly unk?: string };
  /** The marks by id, where nothing names them. */
  readonly ids?: { readonly bos?: number; readonly eos?: number; readonly pad?: number };
  readonly addsBos?: boolean;
  readonly addsEos?: boolean;
  /** Further ids that end a generation. */
  readonly stopIds?: readonly number[];
}

/** A vocabulary with its rules: text to ids and back. */
export interface Tokenizer {
  readonly kind: 'sentencepiece-bpe' | 'sentencepiece-unigram' | 'bpe-json';
  /** One more than the greatest id. */
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  readonly unkId: number | null;
  /** Ids that end a generation: the end mark and what `generation_config.json` adds. */
  readonly stopIds: readonly number[];
  /** What the original adds by itself (`add_bos_token`, post-processor); `encode` adds only what it is asked for. */
  readonly adds: { readonly bos: boolean; readonly eos: boolean };
  readonly source: TokenizerSource;
  /** Text to ids. Lone surrogates count as U+FFFD. Throws `input` when a mark is asked for that does not exist. */
  encode(text: string, options?: EncodeOptions): number[];
  /** As `encode`, into a typed array: for corpora. */
  encodeTyped(text: string, options?: EncodeOptions): Int32Array;
  /** Ids to text. Throws `input` for a number that cannot be an id. */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  decoder(options?: DecodeOptions): StreamDecoder;
  /** The entry as the vocabulary writes it (`▁the`, `Ġthe`, `<0x0A>`). */
  pieceOf(id: number): string;
  /** The id of an entry, or null. */
  idOf(piece: string): number | null;
  /** The UTF-8 bytes an id adds inside a text; none for control ids. */
  bytesOf(id: number): Uint8Array;
  /** True for marks: control pieces and special added tokens. */
  isSpecial(id: number): boolean;
}
