/**
 * Numbers of a report as people read them. What is no finite number is shown as –, never as NaN.
 */
import { bytes, si } from '../../base/format.ts';

const known = (n: unknown): n is number => typeof n === 'number' && Number.isFinite(n);

/** 1,234,567. */
export const thousands = (n: number | null | undefined): string => (known(n) ? String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',') : '–');
/** 12.3 %; whole numbers lose their zeros; what is little but not nothing is not shown as 0. */
export const percent = (part: number | null | undefined, digits = 1): string => {
  if (!known(part)) return '–';
  const text = (part * 100).toFixed(digits);
  return Number(text) === 0 && part > 0 ? `< ${10 ** -digits} %` : `${text.replace(/\.0+$/, '')} %`;
};
/** 1.23 M. */
export const short = (n: number | null | undefined): string => (known(n) ? si(n) : '–');
/** 1.5 MiB. */
export const size = (n: number | null | undefined): string => (known(n) ? bytes(n) : '–');
/** +1.2 or −0.3: percentage points. */
export const points = (difference: number): string => {
  const text = (Math.abs(difference) * 100).toFixed(1);
  return text === '0.0' ? '0' : `${difference < 0 ? '−' : '+'}${text}`;
};
/** A bound of a histogram, in as few digits as tell it. */
export const edge = (n: number): string => (known(n) ? (Math.abs(n) >= 1000 ? si(n) : String(Number(n.toPrecision(3)))) : '–');
