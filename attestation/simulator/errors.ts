import { CodedError } from '../base/index.ts'

/**
 * SIMULATE_SHARES_INVALID: the shares of misbehaving nodes are not KIND=PERCENT%, or are more than all nodes.
 * SIMULATE_TRUST_INVALID: trust.json cannot be read, or is none.
 * SIMULATE_TOKENS_INVALID: the file of tokens cannot be read, or has fewer than there are nodes.
 * SIMULATE_KEYS_INVALID: the directory of keys cannot be used, or holds something else.
 * SIMULATE_UNREACHABLE: nobody answers at the verifier's address, or not as a verifier does.
 * SIMULATE_TLS_UNTRUSTED: who answers shows another key than trust.json names.
 * SIMULATE_FALSE_VERDICT: a node was given a verdict that it does not deserve.
 * SIMULATE_UNDECIDED: time was up before every node had the verdict that it deserves.
 */
export type SimulatorErrorCode =
  | 'SIMULATE_SHARES_INVALID'
  | 'SIMULATE_TRUST_INVALID'
  | 'SIMULATE_TOKENS_INVALID'
  | 'SIMULATE_KEYS_INVALID'
  | 'SIMULATE_UNREACHABLE'
  | 'SIMULATE_TLS_UNTRUSTED'
  | 'SIMULATE_FALSE_VERDICT'
  | 'SIMULATE_UNDECIDED'

export class SimulatorError extends CodedError<SimulatorErrorCode> {
  /** What to do about it. */
  readonly hint: string | undefined
  constructor(code: SimulatorErrorCode, message: string, options?: { cause?: unknown; hint?: string }) {
    super(code, message, options)
    this.hint = options?.hint
  }
}
