import type { HashAlgorithm } from '../../crypto/index.ts'
import {
  BANK_ORDER,
  type BankRegisters,
  banksOf,
  EV,
  type EventDigests,
  fromBankValues,
  isAfterStart,
  type LogEvent,
  type LogSource,
  pcrAfterStart,
  type RegisterReplay,
  replayRegister,
  STARTUP_LOCALITIES,
  type StartupLocality,
} from '../../event-log/index.ts'
import { actionDigests } from './actions.ts'
import type { BootLog } from './boot-log.ts'
import type { BootState, RegisterState } from './state.ts'

/** The quoted registers by number, each in every bank of a verified quote. */
export type QuotedRegisters = ReadonlyMap<number, BankRegisters>

/** What the logs and the quote say together of one register. */
export type RegisterOutcome = {
  /** Banks that the log speaks for, of those quoted. */
  readonly banks: readonly HashAlgorithm[]
  /** Banks that were quoted, and that the log has no digest of. */
  readonly unlogged: readonly HashAlgorithm[]
} & (
  | {
      readonly state: 'replayed'
      readonly replay: RegisterReplay
      /** Banks that lack the digest of an event, so that they prove nothing; the others replay. */
      readonly incomplete: readonly HashAlgorithm[]
      /**
       * Events of the firmware that the quote does not reach, although its log was complete before anything could be
       * quoted.
       */
      readonly invented: number
      /**
       * Events of this register, of those in the logs given, that this quote or an earlier one proves: the first so
       * many.
       */
      readonly proven: number
      /** What had to be taken for given to make the register replay. */
      readonly assumed?:
        | { readonly kind: 'locality'; readonly locality: StartupLocality }
        | { readonly kind: 'exit-boot-services' }
    }
  | {
      readonly state: 'refuted'
      readonly replay: RegisterReplay
      /** A start value from which the register would replay, although the log says another. */
      readonly locality?: StartupLocality
    }
  | { readonly state: 'not-quoted' }
  /** No event, and the value that a TPM start leaves. */
  | { readonly state: 'untouched' }
  /** No event, and another value. */
  | { readonly state: 'unexplained' }
  /** The firmware log was not sent, and nothing is kept of this register. */
  | { readonly state: 'log-missing' }
)

/** A further log that extends registers after the firmware; its events in order. */
export interface LaterLog {
  readonly source: LogSource
  readonly events: readonly LogEvent[]
}

export interface ReplayInput {
  readonly boot: BootLog | undefined
  readonly later: readonly LaterLog[]
  readonly quoted: QuotedRegisters
  /** Where an earlier replay of the same TPM start ended. */
  readonly previous: BootState | undefined
  /** Registers that others appraise: the launch log's, IMA's. */
  readonly elsewhere: ReadonlySet<number>
}

/** Anybody may set these back at any time: they carry no claim of a boot. */
const RESETTABLE_PCRS: ReadonlySet<number> = new Set([16, 23])
const LAST_PCR = 23

/**
 * Replays every register that is quoted or logged, merged by register: the firmware's events, then those of later logs
 * in the order given. Pure; nothing in it depends on what events say, but for StartupLocality.
 */
export function replayBoot(input: ReplayInput): ReadonlyMap<number, RegisterOutcome> {
  const outcomes = new Map<number, RegisterOutcome>()
  const loggedLater = laterByRegister(input.later)
  for (let register = 0; register <= LAST_PCR; register++) {
    if (input.elsewhere.has(register) || RESETTABLE_PCRS.has(register)) continue
    const quoted = input.quoted.get(register)
    if (quoted !== undefined) {
      const firmware = input.boot?.of(register).map(({ event }) => event.digests) ?? []
      const events = { firmware, later: loggedLater.get(register) ?? [] }
      outcomes.set(register, replayOne(input, register, quoted, events))
    } else if (input.boot?.of(register)[0] !== undefined || loggedLater.has(register)) {
      outcomes.set(register, { state: 'not-quoted', banks: [], unlogged: [] })
    }
  }
  return outcomes
}

interface RegisterEvents {
  readonly firmware: readonly EventDigests[]
  readonly later: readonly EventDigests[]
}

function laterByRegister(logs: readonly LaterLog[]): ReadonlyMap<number, readonly EventDigests[]> {
  const out = new Map<number, EventDigests[]>()
  for (const { events } of logs) {
    for (const event of events) {
      if (event.register.kind !== 'pcr' || event.coverage === 'not-extended') continue
      const list = out.get(event.register.index)
      if (list === undefined) out.set(event.register.index, [event.digests])
      else list.push(event.digests)
    }
  }
  return out
}

function replayOne(
  input: ReplayInput,
  register: number,
  quoted: BankRegisters,
  events: RegisterEvents,
): RegisterOutcome {
  // a log that comes again is believed no more than before: what an earlier quote proved of it is replayed with the
  // rest
  const kept = input.boot === undefined ? input.previous?.registers[register] : undefined
  const all = events.later.length === 0 ? events.firmware : [...events.firmware, ...events.later]
  if (kept === undefined && isLogMissing(input, register)) return { state: 'log-missing', banks: [], unlogged: [] }
  if (all.length === 0 && kept === undefined) return untouched(register, quoted)

  const { banks, unlogged, lost } = splitBanks(input, quoted, all, kept)
  const wanted = pick(quoted, banks)
  const common = { banks, unlogged }
  const starts = startValues(input, register, banks, kept)
  const again = kept === undefined ? 0 : sentAgain(register, all, banks, kept)
  const fresh = again === 0 ? all : all.slice(again)
  let first: RegisterReplay | undefined
  for (const { value, assumed } of starts.candidates) {
    const replay = replayRegister(value, fresh, wanted)
    first ??= replay
    const agreed = agreement(replay)
    if (agreed === undefined) continue
    const proven = again + agreed.proven
    const incomplete = [...lost, ...agreed.incomplete]
    const invented = Math.max(0, events.firmware.length - agreed.proven)
    const told = assumed === undefined ? {} : { assumed }
    return { ...common, state: 'replayed', replay, proven, incomplete, invented, ...told }
  }
  const start = starts.candidates[0]?.value ?? pcrAfterStart(register, banks)
  const replay = first ?? replayRegister(start, fresh, wanted)
  if (register === input.boot?.role.bootManager && banks.length > 0) {
    const ended = replayWithExit(start, events, wanted)
    if (ended?.proven !== undefined) {
      const proven = ended.proven - EXIT_EVENTS
      const assumed = { kind: 'exit-boot-services' } as const
      return { ...common, state: 'replayed', replay: ended, proven, incomplete: lost, invented: 0, assumed }
    }
  }
  const locality = starts.refused.find((c) => agreement(replayRegister(c.value, all, wanted)) !== undefined)?.locality
  return { ...common, state: 'refuted', replay, ...(locality !== undefined && { locality }) }
}

/**
 * How many events of a later log, sent from its beginning again, lead from the TPM start to the value that was proved
 * before; that they do is replayed.
 */
function sentAgain(
  register: number,
  events: readonly EventDigests[],
  banks: readonly HashAlgorithm[],
  kept: RegisterState,
): number {
  if (events.length === 0) return 0
  return (
    agreement(replayRegister(pcrAfterStart(register, banks), events, pick(fromBankValues(kept.values), banks)))
      ?.proven ?? 0
  )
}

function isLogMissing({ boot, previous }: ReplayInput, register: number): boolean {
  return boot === undefined && (previous === undefined || previous.unproved.includes(register))
}

/**
 * Every bank that has all digests must prove the same events. One that lacks some cannot be replayed (Windows logs its
 * own events in one bank only): it proves nothing and does not speak against the others, and a bank of its own must do.
 */
function agreement({ banks }: RegisterReplay): { proven: number; incomplete: readonly HashAlgorithm[] } | undefined {
  const whole = banks.filter((bank) => bank.missing === undefined)
  const proven = whole[0]?.proven
  if (proven === undefined || whole.some((bank) => bank.proven !== proven)) return undefined
  return { proven, incomplete: banks.filter((bank) => bank.missing !== undefined).map((bank) => bank.bank) }
}

/** No event of this register: then it must be as a TPM start leaves it, in every bank. */
function untouched(register: number, quoted: BankRegisters): RegisterOutcome {
  const localities = register === 0 ? STARTUP_LOCALITIES : NO_LOCALITY
  const reset = localities.some((locality) => isAfterStart(register, quoted, locality))
  return { state: reset ? 'untouched' : 'unexplained', banks: banksOf(quoted), unlogged: [] }
}

const NO_LOCALITY = [0] as const

/**
 * Banks that the log can speak for. One that it has no digest of at all was not used by the firmware, which is a
 * finding of its own; one that only some events lack stays, and does not replay.
 */
function splitBanks(
  { boot }: ReplayInput,
  quoted: BankRegisters,
  events: readonly EventDigests[],
  kept: RegisterState | undefined,
): Record<'banks' | 'unlogged' | 'lost', readonly HashAlgorithm[]> {
  const banks: HashAlgorithm[] = []
  const unlogged: HashAlgorithm[] = []
  const lost: HashAlgorithm[] = []
  for (const bank of banksOf(quoted)) {
    if (kept?.incomplete?.includes(bank)) lost.push(bank)
    else if (kept === undefined ? isLogged(boot, bank, events) : kept.values[bank] !== undefined) banks.push(bank)
    else unlogged.push(bank)
  }
  return { banks, unlogged, lost }
}

function isLogged(boot: BootLog | undefined, bank: HashAlgorithm, events: readonly EventDigests[]): boolean {
  return boot?.log.algorithms.some((a) => a.bank === bank) || events.some((digests) => digests[bank] !== undefined)
}

interface StartValue {
  readonly value: BankRegisters
  readonly locality?: StartupLocality
  readonly assumed?: { readonly kind: 'locality'; readonly locality: StartupLocality }
}

/** Where the replay may begin; `refused` are starts that the log itself excludes, tried only to say what is wrong. */
function startValues(
  { boot }: ReplayInput,
  register: number,
  banks: readonly HashAlgorithm[],
  kept: RegisterState | undefined,
): {
  readonly candidates: readonly StartValue[]
  readonly refused: readonly Required<Pick<StartValue, 'value' | 'locality'>>[]
} {
  if (kept !== undefined) return { candidates: [{ value: pick(fromBankValues(kept.values), banks) }], refused: [] }
  if (register !== 0 || boot === undefined)
    return { candidates: [{ value: pcrAfterStart(register, banks) }], refused: [] }
  const at = (locality: StartupLocality) => ({ value: pcrAfterStart(0, banks, locality), locality })
  const logged = loggedLocality(boot)
  if (logged !== undefined) {
    const refused = STARTUP_LOCALITIES.filter((l) => l !== logged).map(at)
    return { candidates: [at(logged)], refused }
  }
  // Firmware that measured through H-CRTM started at locality 4 by definition; other firmware may have left the event
  // out.
  const order = hasHcrtm(boot) ? ([4, 0, 3] as const) : STARTUP_LOCALITIES
  const candidates = order.map((locality) => ({ ...at(locality), assumed: { kind: 'locality' as const, locality } }))
  return { candidates, refused: [] }
}

/** The locality that the log states in due form; the rule boot.startup-locality judges the form. */
export function loggedLocality(boot: BootLog): StartupLocality | undefined {
  for (const entry of boot.events) {
    if (entry.event.type !== EV.NO_ACTION) continue
    const data = boot.data(entry)
    if (data.kind !== 'startup-locality') continue
    return STARTUP_LOCALITIES.find((known) => known === data.locality)
  }
  return undefined
}

export function hasHcrtm(boot: BootLog): boolean {
  return boot.of(0).some((entry) => entry.event.type === EV.EFI_HCRTM_EVENT)
}

/**
 * The kernel's copy of the log may lack what firmware measured after the loader had asked for the log: the end of boot
 * services, which is in the final events table. The digests are known, so the register itself tells.
 */
function replayWithExit(
  start: BankRegisters,
  events: RegisterEvents,
  quoted: BankRegisters,
): RegisterReplay | undefined {
  const banks = banksOf(quoted)
  const exit = [actionDigests('exit-boot-services', banks), actionDigests('exit-boot-services-succeeded', banks)]
  const replay = replayRegister(start, [...events.firmware, ...exit, ...events.later], quoted)
  // a shorter prefix would have replayed without them
  return replay.proven !== undefined && replay.proven >= events.firmware.length + exit.length ? replay : undefined
}

const EXIT_EVENTS = 2

export function pick(values: BankRegisters, banks: readonly HashAlgorithm[]): BankRegisters {
  const out: { [bank in HashAlgorithm]?: Uint8Array } = {}
  for (const bank of BANK_ORDER) {
    const value = values[bank]
    if (value !== undefined && banks.includes(bank)) out[bank] = value
  }
  return out
}
