/**
 * For tests of builds: a corpus with everything in it that a step should find, and the bytes of an output that must not depend on
 * who worked and how often. No test itself; used by those here, by the fault tests and by the attacks.
 */

import { joinPath } from '../../base/path.ts';
import { Random } from '../../base/random.ts';
import type { Host } from '../../host/types.ts';
import { contentKey, keyOf } from './keys.ts';

const WORDS =
  'the of and to a in that it was for on are as with his they at be this from have or by one had not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know get through back much go good new write our me man too any day same right look think also around another came come work three must because does part even place well such here take why help put different away again off went old number great tell men say small every found still between name should home big give air line set own under read last never us left end along while might next sound below saw something thought both few those always show large often together asked house world going want school important until form food keep children feet land side without boy once animal life enough took four head above kind began almost live page got earth need far hand high year mother light country father let night picture being study second soon story since white ever paper hard near sentence better best across during today however sure knew try told young sun thing whole hear example heard several change answer room sea against top turned learn point city play toward five himself usually money seen car morning body upon family later turn move face door cut done group true half red fish plants'.split(
    ' ',
  );

function sentence(random: Random): string {
  const words = Array.from({ length: 6 + random.below(14) }, () => WORDS[random.below(WORDS.length)]);
  return `${words[0][0].toUpperCase()}${words[0].slice(1)} ${words.slice(1).join(' ')}.`;
}

function text(random: Random, sentences: number): string {
  return Array.from({ length: sentences }, (_, i) => sentence(random) + (i % 5 === 4 ? '\n\n' : ' '))
    .join('')
    .trim();
}

/** JSON Lines of `count` documents: mostly good ones, some short, equal, near, broken. `evaluation`: a sentence that some quote. */
export function testCorpus(seed: number, count: number, evaluation = ''): string {
  const random = new Random(seed, 77);
  const texts: string[] = [];
  const lines: string[] = [];
  for (let i = 0; i < count; i++) {
    const kind = random.below(20);
    let target = text(random, 5 + random.below(30));
    if (kind === 0) target = 'Too short.';
    else if (kind === 1 && texts.length > 0) target = texts[random.below(texts.length)];
    else if (kind === 2 && texts.length > 0) target = `${texts[random.below(texts.length)]} ${sentence(random)}`;
    else if (kind === 3 && evaluation !== '') target = `${target}\n\n${evaluation}\n\n${text(random, 5)}`;
    else if (kind === 4) {
      lines.push(`{"text": broken ${i}`);
      continue;
    }
    texts.push(target);
    lines.push(JSON.stringify({ id: `${seed}-${i}`, category: ['news', 'web', 'books'][random.below(3)], source: '', target }));
  }
  return `${lines.join('\n')}\n`;
}

/** Files of a build whose bytes say how long it took and on what machine. */
const TIMED = new Set(['report.json', 'report.html', 'build.json', 'work', 'lock.json']);

/** SHA-256 of what a build gave: packs, manifest, tokenizer, drops, and the report without its times. */
export async function outputHashes(host: Host, out: string): Promise<Record<string, string>> {
  const { files } = host;
  const hashes: Record<string, string> = {};
  for (const { name } of await files.list(out)) if (!TIMED.has(name)) hashes[name] = await contentKey(host, joinPath(out, name));
  const report = JSON.parse(new TextDecoder().decode(await files.read(joinPath(out, 'report.json')))) as Record<string, unknown>;
  hashes.report = await keyOf(host, { ...report, seconds: 0, peakRssBytes: 0, config: 0 });
  return hashes;
}
