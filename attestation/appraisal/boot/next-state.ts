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
    if (outcome.state !== 'replayed' && outcome.state !== 'refuted') continue
    const kept = registers[register]
    const proven = outcome.state === 'replayed' ? outcome.proven : 0
    const next = walk(input, register, proven, kept?.next, open)
    if (outcome.state === 'refuted') continue
    const { incomplete } = outcome
    const banks = outcome.banks.filter((bank) => !incomplete.includes(bank))
    const values = pick(input.quoted.get(register) as BankRegisters, banks) // a register that replayed was quoted
    registers[register] = { values: toBankValues(values), ...(incomplete.length > 0 && { incomplete }), next }
    unproved.delete(register)
  }
  const wanted: { [source in LogSource]?: LogMark } = { ...input.previous?.wanted }
  for (const { source, offset, events, bytes } of input.pieces) {
    const count = source === 'firmware' ? (input.boot?.events.length ?? 0) : eventCount(input.later, source)
    wanted[source] = open.has(source) ? { offset, events } : { offset: offset + bytes, events: events + count }
  }
  return { version: 1, registers, unproved: [...unproved], wanted }
}

/**
 * Walks the events of one register in the order in which they extend it.
 *
 * @param open gets the logs that have events behind the first `proven`
 * @returns by log, the index behind the last event that is proved
 */
function walk(
  { boot, later }: NextStateInput,
  register: number,
  proven: number,
  kept: RegisterState['next'] | undefined,
  open: Set<LogSource>,
): RegisterState['next'] {
  const next: { [source in LogSource]?: number } = { ...kept }
  let position = 0
  for (const { source, index } of positions(boot, later, register)) {
    if (position++ < proven) next[source] = Math.max(next[source] ?? 0, index + 1)
    else open.add(source)
  }
  return next
}

function* positions(
  boot: BootLog | undefined,
  later: readonly LaterLog[],
  register: number,
): Generator<{ readonly source: LogSource; readonly index: number }> {
  for (const { event } of boot?.of(register) ?? []) yield { source: 'firmware', index: event.index }
  for (const { source, events } of later) {
    for (const { register: of, coverage, index } of events) {
      if (of.kind === 'pcr' && of.index === register && coverage !== 'not-extended') yield { source, index }
    }
  }
}

function eventCount(later: readonly LaterLog[], source: LogSource): number {
  return later.find((log) => log.source === source)?.events.length ?? 0
}
