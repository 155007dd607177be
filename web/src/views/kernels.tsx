/** The kernels as they are shipped, by family: each one's opening lines, and its text. */
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { KernelView } from '../protocol.ts';
import { hrefOf, route } from '../route.ts';
import { askOrShow, desk } from '../workers.ts';

export function KernelsView() {
  const kernels = useSignal<readonly KernelView[] | null>(null);
  useEffect(() => {
    void askOrShow(desk.kernels()).then((found) => {
      kernels.value = found ?? [];
    });
  }, [kernels]);
  const all = kernels.value;
  if (all === null) return <p role="status">Reading…</p>;
  const chosen = all.find(({ family, name }) => `${family}/${name}` === route.value.rest) ?? all.find(({ name }) => name === 'matmul_naive') ?? all[0];
  const families = [...new Set(all.map(({ family }) => family))];
  return (
    <div class="side">
      <nav aria-label="Kernels" class="card list">
        {families.map((family) => (
          <section key={family}>
            <h2>{family}</h2>
            <ul>
              {all
                .filter((kernel) => kernel.family === family)
                .map(({ name }) => (
                  <li key={name}>
                    <a href={hrefOf('kernels', `${family}/${name}`)} aria-current={chosen?.family === family && chosen.name === name ? 'true' : undefined}>
                      {name}
                    </a>
                  </li>
                ))}
            </ul>
          </section>
        ))}
      </nav>
      {chosen && (
        <section aria-labelledby="kernel-title" class="card">
          <h1 id="kernel-title">{chosen.name}</h1>
          <dl class="header">
            {chosen.header.map(([name, words]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{words}</dd>
              </div>
            ))}
          </dl>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
          <pre class="code" tabIndex={0}>
            {chosen.text}
          </pre>
        </section>
      )}
    </div>
  );
}
