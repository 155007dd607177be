/** The kernels as they are shipped, with their opening lines apart, for reading. */
import { kernelSources } from '../../../kernels/index.ts';
import type { KernelView } from '../protocol.ts';

/** Splits `// Name: words` lines off the top. */
export function headerOf(text: string): [string, string][] {
  const out: [string, string][] = [];
  for (const line of text.split('\n')) {
    if (!line.startsWith('//')) break;
    const match = /^\/\/ ([A-Z][a-z]+): (.*)$/.exec(line);
    if (match) out.push([match[1], match[2]]);
    else if (out.length > 0) out[out.length - 1][1] += ` ${line.slice(2).trim()}`;
  }
  return out;
}

/** All kernels by family, without the shared parts. */
export async function kernelViews(): Promise<KernelView[]> {
  return Object.entries(kernelSources)
    .filter(([name]) => !name.startsWith('lib/'))
    .map(([path, text]) => {
      const [family, file] = path.split('/');
      return { name: file.replace(/\.wgsl$/, ''), family, header: headerOf(text), text };
    });
}
