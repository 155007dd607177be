/** Types of proof.mjs for the TypeScript programs that add rows. */
export interface ProofRow {
  readonly name: string;
  readonly command: string;
  readonly figure: string;
  readonly device: string;
}
export interface KeptRow extends ProofRow {
  readonly date: string;
  readonly commit: string;
}
export function readProof(folder?: string): KeptRow[];
export function proofPage(rows: readonly KeptRow[]): string;
export function addProof(rows: readonly ProofRow[], folder?: string): Promise<void>;
export function machineNow(): string;
export function commandLine(program: string): string;
