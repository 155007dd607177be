/** The device: what WebGPU gives this page, what it was measured at, and what is missing of what scion can use. */
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { formatSi } from '../../../src/index.ts';
import { lookForDevice } from '../actions.ts';
import { device } from '../state.ts';
import { ask, desk } from '../workers.ts';
import { StorageLine } from './run-list.tsx';

/** Features that scion uses where they are, and what is lost without them. */
const WANTED: readonly (readonly [feature: string, use: string])[] = [
  ['shader-f16', 'halves the traffic of weights inside kernels; without it 16-bit storage goes through integer packing'],
  ['subgroups', 'sums across lanes without shared memory; without it row kernels use a tree in shared memory'],
  ['timestamp-query', 'times kernels on the device; without it times are taken on the host'],
  ['chromium-experimental-subgroup-matrix', 'matrix units (tensor cores) for matrix products; experimental, behind a flag'],
];

const BYTES = /Size$|StorageSize$/;
const MIB = 2 ** 20;

function limitText(name: string, value: number): string {
  if (!BYTES.test(name) || name.includes('Workgroup') === false)
    return BYTES.test(name) && value >= MIB ? `${+(value / MIB).toFixed(1)} MiB` : value.toLocaleString('en');
  return name.includes('StorageSize') ? `${value.toLocaleString('en')} bytes` : value.toLocaleString('en');
}

export function DeviceViewPage() {
  const peak = useSignal<string>('measuring…');
  useEffect(() => {
    void ask(desk.peak()).then((found) => {
      peak.value = found.ok && found.value !== null ? `${formatSi(found.value)}FLOP/s` : 'not measured';
    });
  }, [peak]);
  const now = device.value;
  if (now === null) return <p role="status">Looking for a WebGPU device…</p>;
  if (now === 'none') {
    return (
      <section class="card">
        <h1>Device</h1>
        <p>This page found no WebGPU device.</p>
        <button type="button" onClick={() => void lookForDevice()}>
          Look again
        </button>
      </section>
    );
  }
  const facts: (readonly [string, string])[] = [
    ['Vendor', now.vendor || '–'],
    ['Architecture', now.architecture || '–'],
    ['Description', now.description || '–'],
    ['Runs on', now.cpu ? 'the CPU (a software adapter)' : 'a GPU'],
    ['Kernels', `${now.profile} profile`],
    ['Subgroup width', now.subgroups ?? 'no subgroups'],
    ['Matrix products, f32', peak.value],
  ];
  return (
    <>
      <section aria-labelledby="device-title" class="card">
        <h1 id="device-title">{now.name}</h1>
        <dl>
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </section>
      <section aria-labelledby="missing-title" class="card">
        <h2 id="missing-title">What scion can use</h2>
        <table class="words" id="wanted">
          <thead>
            <tr>
              <th scope="col">Feature</th>
              <th scope="col">Here</th>
              <th scope="col">For</th>
            </tr>
          </thead>
          <tbody>
            {WANTED.map(([feature, use]) => (
              <tr key={feature}>
                <th scope="row">
                  <code>{feature}</code>
                </th>
                <td>{now.features.includes(feature) ? '✓ yes' : '✗ missing'}</td>
                <td>{use}</td>
              </tr>
            ))}
          </tbody>
        </table>
        <p class="soft">WebGPU has no bf16 arithmetic anywhere; bf16 files are read and written.</p>
      </section>
      <section aria-labelledby="limits-title" class="card">
        <h2 id="limits-title">Limits</h2>
        <table class="words">
          <tbody>
            {Object.entries(now.limits).map(([name, value]) => (
              <tr key={name}>
                <th scope="row">
                  <code>{name}</code>
                </th>
                <td>{limitText(name, value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <section aria-labelledby="features-title" class="card">
        <h2 id="features-title">All features</h2>
        <p>
          {now.features.map((feature) => (
            <code key={feature} class="tag">
              {feature}
            </code>
          ))}
        </p>
        <StorageLine />
      </section>
    </>
  );
}
