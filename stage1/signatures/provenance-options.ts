import type { Signer } from '../image/index.ts'
import type { ConfigDirectories } from './trust-store.ts'

/** What a fetch knows about signatures. */
export interface ProvenanceOptions {
  readonly config: ConfigDirectories
  /** `--insecure-options=image`: the policy is not asked. */
  readonly acceptUnsigned: boolean
  /** Detached signature of an ACI, where it is not beside it. */
  readonly signatureFile?: string
  /** The name that was asked for where an image was discovered: its manifest has to have it. */
  readonly expectedName?: string
  readonly now: () => Date
}

/** Signatures that were verified, and what was wrong with the others. */
export interface FoundSigners {
  readonly signers: readonly Signer[]
  readonly faults: readonly string[]
}
