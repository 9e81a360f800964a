import { type BankRegisters, EventLogError, replayIma } from '../../event-log/index.ts'
import { ImaJudge } from './judge.ts'
import type { CompiledImaPolicy } from './policy.ts'
import type { ImaState } from './state.ts'

/** What a piece of an IMA list came to. */
export type ImaAppraisal =
  /** Keep the state. `restBytes` at the end of the piece are ahead of the quote: bring them again with the next one. */
  | { readonly outcome: 'proved'; readonly state: ImaState; readonly restBytes: number }
  /**
   * The piece ends before the quoted value. With the piece behind it go on from this state, else the list is not the
   * register's.
   */
  | { readonly outcome: 'open'; readonly state: ImaState }
  /** Nothing of the piece is believed; the state before it stands. */
  | { readonly outcome: 'refuted'; readonly code: string; readonly why: string }

/**
 * Replays a further piece of a binary IMA list and judges its entries in the same pass. A million entries a second
 * where their like was allowed before; no memory for each.
 *
 * @param state of the same policy, after the entries before
 * @param bytes the list from `state.replay.offset` on, whole entries
 * @param quoted the register in a verified quote, in the banks that the state was started with
 */
export function appraiseIma(
  state: ImaState,
  bytes: Uint8Array,
  quoted: BankRegisters,
  policy: CompiledImaPolicy,
): ImaAppraisal {
  const judge = new ImaJudge(policy, state)
  try {
    const replay = replayIma(state.replay, bytes, quoted, { visitor: judge, known: policy.known })
    if (replay.disagreeing.length > 0) {
      const why = `the list comes to the quoted register in one bank, but not in ${replay.disagreeing.join(', ')}`
      return { outcome: 'refuted', code: 'IMA_BANKS_DISAGREE', why }
    }
    const after = { ...judge.state(), replay: replay.state }
    return replay.proved
      ? { outcome: 'proved', state: after, restBytes: replay.restBytes }
      : { outcome: 'open', state: after }
  } catch (err) {
    if (!(err instanceof EventLogError)) throw err
    return { outcome: 'refuted', code: err.code, why: err.message }
  }
}
