import {
  type BankRegisters,
  type BankValues,
  banksOf,
  EventLogError,
  extendValue,
  readMeasureLog,
  toBankValues,
  zeroRegisters,
} from '../event-log/index.ts'
import type { MachineLogPiece } from '../protocol/index.ts'
import type { MachineStart, MachineState } from './state.ts'

/** systemd measures a few things into the register that a launch log may be in: machine ID, file systems. */
const MAX_EXPLAINED = 64

/** As systemd writes what it measures there: `machine-id:`, `file-system:`. A record of a launch log is JSON. */
const SYSTEMD_TEXT = /^[a-z][a-z-]*:/

/**
 * What systemd's log makes of the launch log's register before its first record: each is a value that an agent may have found. That somebody extended
 * this and nothing else the quote proves, as the launch log replays from it; not who. So it ends with the first record whose text is not systemd's, or is not
 * what was measured: with a digest alone (a volume key's) the records of a launch log that is kept back could be explained. Such values are the
 * operator's to name (attestation.startValues).
 *
 * @param log register and banks of the launch log
 */
export function explainedStartValues(
  previous: MachineState | undefined,
  pieces: readonly MachineLogPiece[],
  start: MachineStart,
  log: { readonly pcr: number; readonly registers: BankRegisters },
): readonly BankValues[] {
  const same = previous?.start.resetCount === start.resetCount && previous.start.restartCount === start.restartCount
  const kept = same ? (previous.explained ?? []) : []
  const piece = pieces.find((p) => p.source === 'systemd' && p.offset === 0)
  if (piece === undefined) return kept
  try {
    return prefixValues(readMeasureLog(piece.bytes).records, log)
  } catch (err) {
    if (err instanceof EventLogError) return kept // systemd.log says what is wrong with it
    throw err
  }
}

function prefixValues(
  records: ReturnType<typeof readMeasureLog>['records'],
  { pcr, registers }: { readonly pcr: number; readonly registers: BankRegisters },
): BankValues[] {
  const banks = banksOf(registers)
  const values: BankValues[] = []
  let state = zeroRegisters(banks)
  for (const { register, digests, measured, string = '' } of records) {
    if (register.kind !== 'pcr' || register.index !== pcr) continue
    if (measured !== 'string' || !SYSTEMD_TEXT.test(string)) break
    if (!banks.every((bank) => digests[bank] !== undefined) || values.length === MAX_EXPLAINED) break
    state = Object.fromEntries(
      banks.map((bank) => [bank, extendValue(bank, state[bank] as Uint8Array, digests[bank] as Uint8Array)]), // both have every bank
    )
    values.push(toBankValues(state))
  }
  return values
}
