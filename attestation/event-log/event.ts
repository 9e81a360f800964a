import type { HashAlgorithm } from '../crypto/index.ts'

/**
 * A register that events are extended into: a PCR, an NV index of type extend (an NvPCR), or a runtime register of a
 * confidential VM.
 */
export interface Register {
  readonly kind: 'pcr' | 'nv' | 'rtmr'
  readonly index: number
}

/** The log that an event came from, in the order in which a machine that boots begins to write them. */
export type LogSource = 'firmware' | 'systemd' | 'ima' | 'launch-log' | 'cel' | 'aael'

/** Digests of one event by bank; views of the log's bytes. */
export type EventDigests = { readonly [bank in HashAlgorithm]?: Uint8Array }

/**
 * What an event's digest says of the data beside it, whatever is proved of the digest later.
 *
 * - `data`: the digest is what the type's rule makes of the data; who proves the digest proves the data.
 * - `digest`: the digest is of something that is not in the log (a PE image, a firmware volume), or the rule of its
 *   writer is not known: the data is a claim, good for display only.
 * - `mismatch`: the type's rule is known and covers the data, and the digest is not what it makes of it.
 * - `not-extended`: the event is not extended at all (EV_NO_ACTION), so no register speaks for it.
 */
export type Coverage = 'data' | 'digest' | 'mismatch' | 'not-extended'

/** What a verified quote proves of an event, once the log was replayed to it. */
export type Proof =
  /** Digest and data. */
  | 'data'
  /** The digest only. */
  | 'digest'
  /** Its register was not in the quote's selection. */
  | 'not-quoted'
  /** No register speaks for it. */
  | 'not-extended'
  /** The log runs ahead of the quote here. */
  | 'not-yet'
  /** The register does not replay, or the data is not what the digest says: nothing is proved. */
  | 'refuted'

/** One event of any log, as a timeline shows it. */
export interface LogEvent {
  readonly source: LogSource
  /** Position in its own log, from 0. */
  readonly index: number
  readonly register: Register
  readonly digests: EventDigests
  /** The format's own name: EV_SEPARATOR, ima-ng, phase, pod. */
  readonly type: string
  readonly coverage: Coverage
  /** One line for people: why the coverage is what it is. */
  readonly why: string
  /** One line for people: what the event says. Only worth as much as its proof. */
  readonly text: string
}
