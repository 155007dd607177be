/** The kernels by family, each ladder from its naive rung up, and the playground for the one that is chosen. */
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { Panel } from '../play/panel.tsx';
import { type Shared, unpack } from '../play/share.ts';
import type { KernelView } from '../protocol.ts';
import { hrefOf, route } from '../route.ts';
import { askOrShow, desk } from '../workers.ts';

/** Kernels of a family: ladders first, rung by rung. */
function inOrder(kernels: readonly KernelView[]): { readonly kernel: KernelView; readonly rung: number | null }[] {
  return kernels.map((kernel) => {
    const rung = kernel.ladder.indexOf(`${kernel.family}/${kernel.name}`);
    return { kernel, rung: rung < 0 ? null : rung + 1 };
  });
}

export function KernelsView() {
  const kernels = useSignal<readonly KernelView[] | null>(null);
  /** What the address holds, once it is read; by its packed part. */
  const shared = useSignal<{ readonly part: string; readonly value: Shared | null } | null>(null);
  useEffect(() => {
    void askOrShow(desk.kernels()).then((found) => {
      kernels.value = found ?? [];
    });
  }, [kernels]);
  const [name, query = ''] = route.value.rest.split('?');
  const part = /^z=([\w-]+)$/.exec(query)?.[1] ?? '';
  useEffect(() => {
    if (part === '') shared.value = { part, value: null };
    else
      void unpack(part).then((value) => {
        shared.value = { part, value };
      });
  }, [part, shared]);
  const all = kernels.value;
  if (all === null || shared.value?.part !== part) return <p role="status">Reading…</p>;
  const chosen = all.find((k) => `${k.family}/${k.name}` === name) ?? all.find((k) => k.name === 'matmul_naive') ?? all[0];
  const families = [...new Set(all.map(({ family }) => family))];
  return (
    <div class="side">
      <nav aria-label="Kernels" class="card list">
        {families.map((family) => (
          <section key={family}>
            <h2>{family}</h2>
            <ul>
              {inOrder(all.filter((kernel) => kernel.family === family)).map(({ kernel, rung }) => (
                <li key={kernel.name}>
                  <a href={hrefOf('kernels', `${family}/${kernel.name}`)} aria-current={chosen === kernel ? 'true' : undefined}>
                    {kernel.name}
                  </a>
                  {rung && <small title={`rung ${rung} of ${kernel.ladder.length}, from the naive one up`}>v{rung}</small>}
                </li>
              ))}
            </ul>
          </section>
        ))}
      </nav>
      {chosen && <Panel key={`${chosen.family}/${chosen.name} ${part}`} kernel={chosen} shared={shared.value.value} />}
    </div>
  );
}
