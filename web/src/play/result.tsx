/** What a run found: right or wrong output by output, with the first elements that are off; its time; every run of the visit in a table. */
import type { OutputCheck, SizeCheck, TrialReport } from '../../../src/index.ts';
import { entries } from './bench.ts';

const short = (x: number): string => (Number.isFinite(x) ? String(+x.toPrecision(6)) : String(x));
const scientific = (x: number): string => (Number.isFinite(x) ? x.toExponential(1) : 'not finite');
export const giga = (x: number): string => (x / 1e9).toPrecision(3);
/** Seconds, in a unit that fits. */
export const span = (s: number): string => (s < 1e-3 ? `${(s * 1e6).toPrecision(3)} µs` : s < 1 ? `${(s * 1e3).toPrecision(3)} ms` : `${s.toPrecision(3)} s`);
export const sizeWords = (sizes: Readonly<Record<string, number>>): string =>
  Object.entries(sizes)
    .map(([letter, size]) => `${letter} ${size}`)
    .join(', ');

function Wrong({ output }: { readonly output: OutputCheck }) {
  return (
    <>
      <p>
        <strong>{output.name}</strong> [{output.shape.join(', ')}]: {output.off.toLocaleString('en')} of{' '}
        {output.shape.reduce((a, b) => a * b, 1).toLocaleString('en')} elements are off, the worst by {short(output.worst)}; error {scientific(output.error)},{' '}
        {scientific(output.tolerance)} allowed. NaN: {output.nan}, infinite: {output.infinite}.
      </p>
      <table class="numbers words">
        <caption>The first {output.mismatches.length} that are off</caption>
        <thead>
          <tr>
            <th scope="col">element</th>
            <th scope="col">found</th>
            <th scope="col">float64</th>
          </tr>
        </thead>
        <tbody>
          {output.mismatches.map((m) => (
            <tr key={m.index.join()}>
              <th scope="row">
                {output.name}[{m.index.join(', ')}]
              </th>
              <td>{short(m.found)}</td>
              <td>{short(m.wanted)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function Check({ check }: { readonly check: SizeCheck }) {
  const worst = check.outputs.reduce((a, b) => (b.error > a.error ? b : a));
  if (check.ok) {
    return (
      <p>
        At {sizeWords(check.setting.sizes)}: right. Worst error {scientific(worst.error)} ({worst.name}), {scientific(worst.tolerance)} allowed.
      </p>
    );
  }
  return (
    <>
      <p>At {sizeWords(check.setting.sizes)}:</p>
      {check.outputs
        .filter(({ ok }) => !ok)
        .map((output) => (
          <Wrong key={output.name} output={output} />
        ))}
    </>
  );
}

export function Result({ report }: { readonly report: TrialReport }) {
  const { time } = report;
  return (
    <section id="result" aria-labelledby="verdict" class={report.ok ? 'verdict' : 'verdict wrong'}>
      <h2 id="verdict">{report.ok ? '✓ Right' : '✗ Wrong'}</h2>
      {report.checks.map((check, i) => (
        <Check key={i} check={check} />
      ))}
      {report.ok && report.checks.length < 2 && <p>The sizes asked for are too costly for the float64 sums; there it was only timed.</p>}
      {time && (
        <dl id="time">
          <div>
            <dt>time, median of {time.samples}</dt>
            <dd>{span(time.median)}</dd>
          </div>
          <div>
            <dt>a tenth below, a tenth above</dt>
            <dd>
              {span(time.low)} – {span(time.high)}
            </dd>
          </div>
          <div>
            <dt>GFLOP/s</dt>
            <dd>{time.flops > 0 ? giga(time.flops / time.median) : '–'}</dd>
          </div>
          <div>
            <dt>GB/s</dt>
            <dd>{giga(time.bytes / time.median)}</dd>
          </div>
          <div>
            <dt>measured by</dt>
            <dd>
              {time.by}, {time.repeats} runs a pass
            </dd>
          </div>
        </dl>
      )}
    </section>
  );
}

/** Every run of the visit that was right: variants side by side. */
export function History() {
  const timed = entries.value.filter(({ report }) => report.time);
  if (timed.length === 0) return null;
  return (
    <section class="scroll" aria-label="Runs of this visit">
      <table class="numbers" id="runs-table">
        <caption>Runs of this visit</caption>
        <thead>
          <tr>
            {['kernel', 'sizes', 'time', 'GFLOP/s', 'GB/s'].map((head) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {timed.map(({ draft, shipped, report: { time } }, i) => (
            <tr key={i}>
              <th scope="row">
                {i + 1}. {draft.kernel.split('/')[1]} {shipped ? '' : '(edited)'}
              </th>
              <td>
                {sizeWords(draft.sizes)} {draft.dtype} {Object.values(draft.options).join(' ')}
              </td>
              <td>{time && span(time.median)}</td>
              <td>{time && time.flops > 0 ? giga(time.flops / time.median) : '–'}</td>
              <td>{time && giga(time.bytes / time.median)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
