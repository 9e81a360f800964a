import type { HashAlgorithm } from '../../crypto/index.ts'
import { type ImaReplayState, imaReplayStart } from '../../event-log/index.ts'

/** Why an entry is not allowed. */
export type ImaFailureKind =
  /** No reference value for this path. */
  | 'unknown-file'
  /** The path is known, this content is not. */
  | 'changed-file'
  | 'bad-signature'
  /** The policy asks for a signature and there is none that could be checked. */
  | 'no-signature'
  /** Signed with a key that the policy does not have. */
  | 'unknown-key'
  /** A key of a keyring that the policy does not accept. */
  | 'keyring'
  /** A measured buffer that the policy does not accept, or whose digest is not its own. */
  | 'buffer'
  /** A template or fields that are not known here, so nothing is known of the entry. */
  | 'unreadable'
  | 'violation'

/** One entry that is not allowed. Texts are printable and bounded. */
export interface ImaFailure {
  readonly kind: ImaFailureKind
  /** Position in the list, from 0. */
  readonly index: number
  readonly name: string
  readonly expected: string
  readonly seen: string
}

/** Numbers of proved entries, by what they were. */
export interface ImaCounts {
  /** Allowed by a listed digest, a pattern, a signature. */
  readonly listed: number
  readonly excluded: number
  readonly signed: number
  /** Measured keys and buffers that the policy accepts or ignores. */
  readonly keys: number
  readonly buffers: number
  readonly failures: { readonly [kind in ImaFailureKind]?: number }
  /** Appended signatures (PKCS #7), which are not checked here. */
  readonly appendedSignatures: number
  /** Signatures that were bad: beyond a bound none is checked any more. */
  readonly badSignatures: number
}

/** What the first entry says of the registers that were before it. */
export interface BootAggregate {
  readonly algorithm: string
  /** Lowercase hex. */
  readonly digest: string
  /** Of the entry: a kernel that writes this one in the old template writes all files so. */
  readonly old: boolean
}

/** A key that the machine's own kernel took into a keyring, certificate in lowercase hex. */
export interface LearnedKey {
  readonly keyring: string
  readonly der: string
}

/**
 * What is proved of one machine's list since it booted: plain data, bounded, to be kept between quotes. Of one policy;
 * another one starts anew.
 */
export interface ImaState {
  readonly replay: ImaReplayState
  readonly counts: ImaCounts
  /** The first of them. */
  readonly failures: readonly ImaFailure[]
  readonly bootAggregate?: BootAggregate
  readonly learnedKeys: readonly LearnedKey[]
}

export const MAX_FAILURES = 64
export const MAX_LEARNED_KEYS = 64

/** Before the first entry after a boot. @param banks every bank that quotes show */
export function imaStateStart(banks: readonly HashAlgorithm[], pcr?: number): ImaState {
  return {
    replay: imaReplayStart(banks, pcr),
    counts: {
      listed: 0,
      excluded: 0,
      signed: 0,
      keys: 0,
      buffers: 0,
      failures: {},
      appendedSignatures: 0,
      badSignatures: 0,
    },
    failures: [],
    learnedKeys: [],
  }
}
