import type { HashAlgorithm } from '../../crypto/index.ts'
import type { BankValues, LogSource } from '../../event-log/index.ts'

/** Where the replay of one register stands. */
export interface RegisterState {
  /** Lowercase hex by bank: as a quote proved it. */
  readonly values: BankValues
  /** Banks in which an event had no digest, so that nothing can be replayed in them any more. */
  readonly incomplete?: readonly HashAlgorithm[]
}

/**
 * What is kept of the replay of one TPM start, so that the next quote needs only the events that are new. Plain data
 * for JSON, about 100 bytes for each register and bank; void with the next TPM start.
 */
export interface BootState {
  readonly version: 1
  readonly registers: { readonly [register: number]: RegisterState }
  /**
   * Registers that the firmware log extends and no quote has proved: the log is wanted again if one of these is quoted.
   */
  readonly unproved: readonly number[]
  /** From where each log is wanted: in bytes, and the index of the first event there. */
  readonly wanted: { readonly [source in LogSource]?: LogMark }
}

export interface LogMark {
  readonly offset: number
  readonly events: number
}
