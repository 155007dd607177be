/**
 * The report of a build as one page, made for someone who decides what to change before training: first what to look at,
 * then the evidence, section by section. The numbers are those of `report.json` and no others.
 */
import { findings } from './findings.ts';
import { html, page } from './page.ts';
import {
  bucketsSection,
  configSection,
  duplicatesSection,
  funnelSection,
  keyFigures,
  lengthsSection,
  packingSection,
  reasonsSection,
  scoresSection,
  talliesSection,
  timeSection,
} from './sections.ts';
import type { BuildReport } from './types.ts';

export { type Finding, findings } from './findings.ts';
export type * from './types.ts';

const SECTIONS: readonly (readonly [id: string, name: string, draw: (report: BuildReport) => string])[] = [
  ['funnel', 'Funnel', funnelSection],
  ['reasons', 'Reasons', reasonsSection],
  ['edits', 'Edits and flags', talliesSection],
  ['lengths', 'Lengths', lengthsSection],
  ['scores', 'Scores', scoresSection],
  ['duplicates', 'Duplicates', duplicatesSection],
  ['buckets', 'Mix of the buckets', bucketsSection],
  ['packing', 'Packing and compression', packingSection],
  ['time', 'Time', timeSection],
  ['config', 'Recipe', configSection],
];

const WORDS = { broken: 'Broken', look: 'Look', fine: 'In order' } as const;

/** The page as HTML text: one file, no script, nothing loaded. All text of documents is escaped; unseen characters are written out. */
export function renderReport(report: BuildReport): string {
  const lines = findings(report).map(({ level, text, items, advice, section }) => {
    const list = items ? `<ul>${items.map((item) => `<li>${html(item)}</li>`).join('')}</ul>` : '<br>';
    return `<li class="${level}"><span class="level">${WORDS[level]}</span><div>${html(text)} <a href="#${section}" aria-label="to the section ${section}">Show</a>${items || advice ? list : ''}${advice ? `<span class="advice">${html(advice)}</span>` : ''}</div></li>`;
  });
  const links = SECTIONS.map(([id, name]) => `<a href="#${id}">${html(name)}</a>`).join('');
  const sections = SECTIONS.map(
    ([id, name, draw]) => `<section id="${id}" aria-labelledby="h-${id}"><h2 id="h-${id}">${html(name)}</h2>\n${draw(report)}</section>`,
  );
  return page(
    'Data build',
    `<header><h1>Data build</h1><p class="lead">From what was read to what is trained on, and what went on the way.</p>${keyFigures(report)}</header>
<main><section aria-labelledby="h-look"><h2 id="h-look">What to look at</h2><ul class="findings">${lines.join('\n')}</ul><nav aria-label="Sections">${links}</nav></section>
${sections.join('\n')}</main>`,
  );
}
