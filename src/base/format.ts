/**
 * Numbers as people read them, the same in the command line and on the page: bytes, counts, time.
 */

/** 1.5 GiB, 12 MiB, 300 B. */
export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = n;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${units[unit]}`;
}

/** Bytes of `24GB`, `512 MiB` or `2.5GiB`: GB is 10^9, GiB 2^30; null for anything else. */
export function parseBytes(text: string): number | null {
  const found = /^\s*(\d+(?:\.\d+)?)\s*([kmgt])(i?)b\s*$/i.exec(text);
  if (!found) return null;
  return Math.floor(Number(found[1]) * (found[3] === '' ? 1000 : 1024) ** ('kmgt'.indexOf(found[2].toLowerCase()) + 1));
}

/** 1.23 G, 45.6 M, 789: with an SI prefix and three digits. */
export function si(n: number): string {
  const units = ['', 'k', 'M', 'G', 'T', 'P'];
  let value = n;
  let unit = 0;
  while (Math.abs(value) >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 && Number.isInteger(value) ? value : value.toPrecision(3)}${units[unit] && ` ${units[unit]}`}`;
}

/** 3 h 05 min, 2 min 10 s, 8.1 s. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.round(seconds % 60)).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}
