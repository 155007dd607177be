/**
 * Lists of hosts and words whose documents are not wanted. Hosts match as a whole or as the end of a longer name at a dot.
 * Words and phrases are all looked for in one walk over the text (Aho and Corasick 1975); where a script has spaces
 * a find must be a whole word, in Chinese it may stand anywhere.
 */
import { CLASS, CLASS_BITS, classTable } from './classes.ts';

/** One character as it is compared: lower case where that is one unit. */
function fold(code: number): number {
  if (code < 128) return code >= 65 && code <= 90 ? code + 32 : code;
  const lower = String.fromCharCode(code).toLowerCase();
  return lower.length === 1 ? lower.charCodeAt(0) : code;
}

/** Finds any of many words in one walk. */
export class WordFinder {
  /** Edges: `state * 65536 + unit` to the next state. */
  readonly #edges = new Map<number, number>();
  readonly #fail: number[] = [0];
  /** Length of the longest word that ends in a state, else 0. */
  readonly #length: number[] = [0];
  /** The nearest state down the failure links in which a word ends; 0: none. */
  readonly #output: number[] = [0];
  readonly #starts = new Uint8Array(0x10000);
  readonly size: number;

  constructor(words: Iterable<string>) {
    const children: number[][] = [[]];
    const units: number[] = [0];
    const unique = new Set<string>();
    for (const word of words) {
      const trimmed = word.trim();
      if (trimmed !== '') unique.add(trimmed);
    }
    this.size = unique.size;
    for (const word of unique) {
      let state = 0;
      for (let i = 0; i < word.length; i++) {
        const unit = fold(word.charCodeAt(i));
        let next = this.#edges.get(state * 0x10000 + unit);
        if (next === undefined) {
          next = this.#fail.length;
          this.#edges.set(state * 0x10000 + unit, next);
          this.#fail.push(0);
          this.#length.push(0);
          this.#output.push(0);
          children.push([]);
          units.push(unit);
          children[state].push(next);
          if (state === 0) this.#starts[unit] = 1;
        }
        state = next;
      }
      this.#length[state] = word.length;
    }
    // Breadth first: the failure link of a state is known before its children need it.
    let row = children[0];
    while (row.length > 0) {
      const below: number[] = [];
      for (const state of row) {
        for (const child of children[state]) {
          let fail = this.#fail[state];
          let target = this.#edges.get(fail * 0x10000 + units[child]);
          while (target === undefined && fail !== 0) {
            fail = this.#fail[fail];
            target = this.#edges.get(fail * 0x10000 + units[child]);
          }
          this.#fail[child] = target ?? 0;
          this.#output[child] = this.#length[this.#fail[child]] > 0 ? this.#fail[child] : this.#output[this.#fail[child]];
          below.push(child);
        }
      }
      row = below;
    }
  }

  /** How often words of the list stand in the text. Overlapping finds count each. */
  count(text: string): number {
    if (this.size === 0) return 0;
    const table = classTable();
    const spaced = (code: number): boolean => {
      const found = table[code] & CLASS_BITS;
      return found === CLASS.DIGIT || found === CLASS.MARK || (found >= CLASS.LATIN && found !== CLASS.HAN && found !== CLASS.KANA && found !== CLASS.THAI);
    };
    let state = 0;
    let found = 0;
    for (let i = 0; i < text.length; i++) {
      const unit = fold(text.charCodeAt(i));
      if (state === 0 && this.#starts[unit] === 0) continue;
      let next = this.#edges.get(state * 0x10000 + unit);
      while (next === undefined && state !== 0) {
        state = this.#fail[state];
        next = this.#edges.get(state * 0x10000 + unit);
      }
      state = next ?? 0;
      for (let end = this.#length[state] > 0 ? state : this.#output[state]; end !== 0; end = this.#output[end]) {
        const start = i + 1 - this.#length[end];
        const opens = start === 0 || !spaced(text.charCodeAt(start)) || !spaced(text.charCodeAt(start - 1));
        const closes = i + 1 >= text.length || !spaced(text.charCodeAt(i)) || !spaced(text.charCodeAt(i + 1));
        if (opens && closes) found++;
      }
    }
    return found;
  }
}

/** The lower-case host of an address, or null. Ports and names of users are cut off. */
export function hostOf(address: string): string | null {
  const found = /^[a-z][a-z0-9+.-]{0,20}:\/\/(?:[^/?#@\s]{0,200}@)?([^/?#:\s]{1,253})/i.exec(address);
  return found ? found[1].toLowerCase().replace(/\.$/, '') : null;
}

/** A list of hosts; `news.example` also stands for `www.news.example`. */
export class HostList {
  readonly #hosts = new Set<string>();

  constructor(hosts: Iterable<string>) {
    for (const line of hosts) {
      const host = line.trim().toLowerCase();
      if (host !== '' && !host.startsWith('#')) this.#hosts.add(hostOf(host) ?? host.replace(/^\*?\./, '').replace(/\.$/, ''));
    }
  }

  get size(): number {
    return this.#hosts.size;
  }

  has(host: string): boolean {
    for (let at = 0; at >= 0; ) {
      if (this.#hosts.has(at === 0 ? host : host.slice(at))) return true;
      const dot = host.indexOf('.', at);
      at = dot < 0 ? -1 : dot + 1;
    }
    return false;
  }

  /** Addresses in the text whose host is on the list. */
  count(text: string): number {
    if (this.#hosts.size === 0) return 0;
    let found = 0;
    for (let at = text.indexOf('://'); at >= 0; at = text.indexOf('://', at + 3)) {
      const host = hostOf(`http${text.slice(at, at + 460)}`);
      if (host !== null && this.has(host.replace(/[^\p{L}\d.-].*$/su, ''))) found++;
    }
    return found;
  }
}
