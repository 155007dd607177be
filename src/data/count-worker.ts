/**
 * The module of a worker that counts words: takes texts, keeps counts, hands them over packed at the end. It runs when
 * it is loaded, so nothing imports it; `count-words.ts` starts it.
 */
import { host } from '../host/index.ts';
import { WordCounts } from '../text/learn/counts.ts';
import { type CountReply, type CountRequest, packCounts } from './count-messages.ts';

async function serve(): Promise<void> {
  const port = (await host()).workerPort();
  if (port === null) return;
  const reply = (message: CountReply, transfer?: readonly ArrayBuffer[]): void => port.post(message, transfer);
  let counts: WordCounts | null = null;
  reply({ kind: 'ready' });
  for (;;) {
    const request = (await port.receive()) as CountRequest;
    try {
      if (request.kind === 'open') counts = new WordCounts(request.cutter);
      else if (request.kind === 'texts') {
        for (const [i, text] of request.texts.entries()) counts?.add(text, request.categories[i]);
        reply({ kind: 'ready' });
      } else {
        for (const [category, held] of counts?.categories ?? []) {
          for (const packed of packCounts(held)) reply({ kind: 'counts', category, packed }, [packed.lengths.buffer, packed.counts.buffer]);
        }
        reply({ kind: 'end' });
      }
    } catch (error) {
      reply({ kind: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  }
}

await serve();
