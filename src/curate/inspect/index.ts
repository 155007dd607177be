/**
 * Looking into what a build made: documents, what went and why, duplicates side by side, packs with their borders; for a terminal
 * and as a page.
 */
export { viewHtml } from './html.ts';
export type { Paper } from './ink.ts';
export { viewLines } from './terminal.ts';
export { look, type Question, type View } from './views.ts';
