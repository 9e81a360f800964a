import { type BankRegisters, type LogSource, toBankValues } from '../../event-log/index.ts'
import type { BootLog } from './boot-log.ts'
import { type LaterLog, pick, type QuotedRegisters, type RegisterOutcome } from './replay-boot.ts'
import type { BootState, LogMark, RegisterState } from './state.ts'

/** What was read of a log: from where, and how many bytes. */
export interface LogPiece extends LogMark {
  readonly source: LogSource
  readonly bytes: number
}

export interface NextStateInput {
  readonly previous: BootState | undefined
  readonly boot: BootLog | undefined
  readonly later: readonly LaterLog[]
  readonly pieces: readonly LogPiece[]
  readonly quoted: QuotedRegisters
  readonly outcomes: ReadonlyMap<number, RegisterOutcome>
}

/**
 * The state after a quote: registers that replayed are kept with the values that it proved; one that did not stays
 * where it was. Where an event of some log is not proved, all logs are wanted again from their beginnings: what was
 * proved of them cannot be told from what was put in its place without replaying it.
 */
export function nextState(input: NextStateInput): BootState {
  const registers: { [register: number]: RegisterState } = { ...input.previous?.registers }
  const unproved = new Set(input.boot === undefined ? input.previous?.unproved : input.boot.registers)
  let isOpen = false
  for (const [register, outcome] of input.outcomes) {
    if (outcome.state !== 'replayed' && outcome.state !== 'refuted') continue
    const proven = outcome.state === 'replayed' ? outcome.proven : 0
    isOpen ||= eventsOf(input, register) > proven
    if (outcome.state === 'refuted') continue
    const { incomplete } = outcome
    const banks = outcome.banks.filter((bank) => !incomplete.includes(bank))
    const values = pick(input.quoted.get(register) as BankRegisters, banks) // a register that replayed was quoted
    registers[register] = { values: toBankValues(values), ...(incomplete.length > 0 && { incomplete }) }
    unproved.delete(register)
  }
  const wanted: { [source in LogSource]?: LogMark } = isOpen ? {} : { ...input.previous?.wanted }
  for (const { source, offset, events, bytes } of isOpen ? [] : input.pieces) {
    const count = source === 'firmware' ? (input.boot?.events.length ?? 0) : eventCount(input.later, source)
    wanted[source] = { offset: offset + bytes, events: events + count }
  }
  return { version: 1, registers, unproved: [...unproved], wanted }
}

/** How many events of the logs given extend a register. */
function eventsOf({ boot, later }: NextStateInput, register: number): number {
  let count = boot?.of(register).length ?? 0
  for (const { events } of later) {
    for (const { register: of, coverage } of events) {
      if (of.kind === 'pcr' && of.index === register && coverage !== 'not-extended') count++
    }
  }
  return count
}

function eventCount(later: readonly LaterLog[], source: LogSource): number {
  return later.find((log) => log.source === source)?.events.length ?? 0
}
