import type { HashAlgorithm } from '../../crypto/index.ts'
import { EventLogError } from '../errors.ts'
import { type BankRegisters, extendValue } from '../registers.ts'
import { type CelRecord, decodeCelRecord } from './cel.ts'
import { checkContentDigests, checkContentForm } from './content.ts'

/**
 * Where a replay stands: the registers after all records before `offset`. A checkpoint of it saves replaying them
 * again.
 */
export interface ReplayState {
  readonly banks: BankRegisters
  readonly nextRecnum: number
  /** Bytes of log replayed so far. */
  readonly offset: number
}

/** A record, and the state that replays to it: a quote of `after.banks` proves this record and all before it. */
export interface ReplayedRecord {
  readonly record: CelRecord
  readonly after: ReplayState
}

/** Start of a log whose register was found at `banks`. */
export function replayStart(banks: BankRegisters): ReplayState {
  return { banks, nextRecnum: 0, offset: 0 }
}

/**
 * Replays a further piece of a log. Record numbers must go on, every record must be of this register, have a digest in
 * exactly these banks, and digests that are its content's where the type's rule is known. Nothing is believed before a
 * quote shows one of the states.
 *
 * @param state after the records replayed before
 * @param bytes the log from `state.offset` on, whole records
 * @returns the records in order; the last one's `after` is where the next piece goes on
 * @throws EventLogError for the first record that does not fit
 */
export function replayRecords(
  state: ReplayState,
  bytes: Uint8Array,
  register: { readonly pcr: number; readonly banks: readonly HashAlgorithm[] },
): ReplayedRecord[] {
  const out: ReplayedRecord[] = []
  let { banks, nextRecnum } = state
  for (let at = 0; at < bytes.length; ) {
    const { record, end } = decodeCelRecord(bytes, at, state.offset)
    const position = { offset: state.offset + at, recnum: record.recnum }
    if (record.recnum !== nextRecnum) {
      throw new EventLogError('EVENT_LOG_BAD_RECNUM', `expected number ${nextRecnum}`, { position })
    }
    if (record.index.kind !== 'pcr' || record.index.value !== register.pcr) {
      throw new EventLogError(
        'EVENT_LOG_WRONG_REGISTER',
        `${record.index.kind} ${record.index.value}, this log is of PCR ${register.pcr}`,
        { position },
      )
    }
    checkContentForm(record, position)
    checkContentDigests(record, position)
    banks = extendAll(banks, record, register.banks, position)
    nextRecnum++
    at = end
    out.push({ record, after: { banks, nextRecnum, offset: state.offset + end } })
  }
  return out
}

function extendAll(
  banks: BankRegisters,
  record: CelRecord,
  wanted: readonly HashAlgorithm[],
  position: { offset: number; recnum: number },
): BankRegisters {
  const out: { [bank in HashAlgorithm]?: Uint8Array } = {}
  for (const bank of wanted) {
    const old = banks[bank]
    if (old === undefined) throw new RangeError(`the replay has no ${bank} register to go on from`)
    const d = record.digests.find((candidate) => candidate.bank === bank)
    if (d === undefined) {
      throw new EventLogError('EVENT_LOG_WRONG_BANKS', `no ${bank} digest, and that bank is allocated`, { position })
    }
    out[bank] = extendValue(bank, old, d.bytes)
  }
  if (record.digests.length !== wanted.length) {
    throw new EventLogError('EVENT_LOG_WRONG_BANKS', `${record.digests.length} digests for ${wanted.length} banks`, {
      position,
    })
  }
  return out
}
