/** Names that growing and verifying share. */

export const EMBED_NAME = 'model.embed_tokens.weight';
export const HEAD_NAME = 'lm_head.weight';
/** What `scion init` leaves beside the model: method, seed and the first new id. */
export const NOTE_NAME = 'scion_init.json';
