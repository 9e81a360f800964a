import type { BootFacts } from '../appraisal/boot/index.ts'
import type { Finding } from '../appraisal/index.ts'
import type { ReferenceFiles, ReferenceImage, ReferenceRegister } from '../reference-values/index.ts'
import type { PcrValue } from '../tpm2/index.ts'
import type { Mode } from './policy.ts'

/** What one machine proved, to make a policy of. */
export interface DraftMachine {
  /** For comments: where it comes from. */
  readonly from: string
  readonly registers: readonly PcrValue[]
  readonly boot: BootFacts | undefined
  readonly findings: readonly Finding[]
  readonly tpm: { readonly manufacturer?: string; readonly firmwareVersion: bigint }
  /** Files that IMA measured, and proved: digests by path. */
  readonly files: ReadonlyMap<string, readonly string[]> | undefined
}

/** What somebody says that good machines have, whether or not there is a machine. */
export interface DraftReferences {
  /** For comments: where they come from. */
  readonly from: readonly string[]
  readonly images: readonly ReferenceImage[]
  readonly registers: readonly ReferenceRegister[]
  readonly files?: ReferenceFiles
  /** What could not be taken over, and what a reader must know of the rest. */
  readonly notes: readonly string[]
}

export const NO_REFERENCES: DraftReferences = { from: [], images: [], registers: [], notes: [] }

/** A file that is written beside the policy. */
export interface DraftFile {
  readonly file: string
  readonly sha256: string
}

export interface DraftOptions {
  readonly name: string
  readonly owner: string
  /** Of every rule that it writes. */
  readonly mode: Mode
  /** The list of files beside it. */
  readonly digests?: DraftFile
  /** The keys that sign files, beside it. */
  readonly keys?: DraftFile
}

export type Booted = { readonly from: string; readonly boot: BootFacts; readonly registers: readonly PcrValue[] }
