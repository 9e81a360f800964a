import type { HashAlgorithm } from '../crypto/index.ts'

/** A value that a register should have. */
export interface ReferenceRegister {
  /** PCRs that a policy can speak of: 0 to 15. */
  readonly pcr: number
  readonly bank: HashAlgorithm
  /** Lowercase hex. */
  readonly value: string
  /** For people: who says so, and of what. */
  readonly from: string
}

/** What IMA may measure. Digests are lowercase hex. */
export interface ReferenceFiles {
  readonly from: string
  /** SHA-256 or better, or `verity:` and such, by absolute path. */
  readonly files: ReadonlyMap<string, readonly string[]>
  readonly excludes: readonly string[]
  readonly keyrings: ReadonlyMap<string, readonly string[]>
  readonly ignoredKeyrings: readonly string[]
  readonly learnKeysFrom: readonly string[]
  readonly buffers: ReadonlyMap<string, readonly string[]>
  /** A file of keys that sign files. */
  readonly keys?: Uint8Array
}
