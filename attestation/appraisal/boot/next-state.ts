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
 * The state after a quote: registers that replayed are kept with the values that it proved; one that did not stays where it was. A log is wanted
 * from where it was read as long as an event of it is not proved: those that are proved will be skipped by their index.
 */
export function nextState(input: NextStateInput): BootState {
  const registers: { [register: number]: RegisterState } = { ...input.previous?.registers }
  const open = new Set<LogSource>()
  const unproved = new Set(input.boot === undefined ? input.previous?.unproved : input.boot.registers)
  for (const [register, outcome] of input.outcomes) {
    const events = eventsOf(input, register)
    if (outcome.state === 'replayed') {
      const proven = events.slice(0, outcome.proven)
      for (const { source } of events.slice(outcome.proven)) open.add(source)
      const { incomplete } = outcome
      const banks = outcome.banks.filter((bank) => !incomplete.includes(bank))
      const values = pick(input.quoted.get(register) as BankRegisters, banks) // a register that replayed was quoted
      registers[register] = {
        values: toBankValues(values),
        ...(incomplete.length > 0 && { incomplete }),
        next: nextOf(registers[register], proven),
      }
      unproved.delete(register)
    } else if (outcome.state === 'refuted') {
      for (const { source } of events) open.add(source)
    }
  }
  const wanted: { [source in LogSource]?: LogMark } = { ...input.previous?.wanted }
  for (const { source, offset, events, bytes } of input.pieces) {
    const count = source === 'firmware' ? (input.boot?.events.length ?? 0) : eventCount(input.later, source)
    wanted[source] = open.has(source) ? { offset, events } : { offset: offset + bytes, events: events + count }
  }
  return { version: 1, registers, unproved: [...unproved], wanted }
}

interface Position {
  readonly source: LogSource
  readonly index: number
}

function eventsOf({ boot, later }: NextStateInput, register: number): Position[] {
  const out: Position[] = (boot?.of(register) ?? []).map((e) => ({ source: 'firmware', index: e.event.index }))
  for (const { source, events } of later) {
    for (const event of events) {
      if (event.register.kind === 'pcr' && event.register.index === register && event.coverage !== 'not-extended') {
        out.push({ source, index: event.index })
      }
    }
  }
  return out
}

function nextOf(kept: RegisterState | undefined, proven: readonly Position[]): RegisterState['next'] {
  const next: { [source in LogSource]?: number } = { ...kept?.next }
  for (const { source, index } of proven) next[source] = Math.max(next[source] ?? 0, index + 1)
  return next
}

function eventCount(later: readonly LaterLog[], source: LogSource): number {
  return later.find((log) => log.source === source)?.events.length ?? 0
}
