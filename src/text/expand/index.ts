/**
 * Putting new pieces into a tokenizer that is there: SentencePiece BPE and byte-level BPE, with the files that go with
 * them. What other folders use of this one.
 */

export { type ExpandedJson, expandByteLevel, expandByteLevelPieces, isByteLevel, type NewMerge } from './byte-level.ts';
export { type ExpandedFolder, expandFolder, loadBase } from './expand-folder.ts';
export { type FolderContents, tokenizerFolder, withAddedTokens } from './files.ts';
export { checkOutFolder, writeTokenizerFolder } from './folder.ts';
export { type ListOrder, type PieceList, readPieceLists } from './piece-list.ts';
export { bareTokenizer, findUnreachable } from './reachable.ts';
export { hasNewScript } from './scripts.ts';
export { type Expanded, expandSentencePiece } from './sentencepiece.ts';
export { tokenizerJson } from './tokenizer-json.ts';
export type { DropReason, ExpandOptions, ExpandReport, NewPiece } from './types.ts';
