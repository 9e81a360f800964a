import { appraiseBoot, bootLog, firmwareLogEvents, loggedLocality } from '../appraisal/boot/index.ts'
import { toHex } from '../base/index.ts'
import {
  aaelEvents,
  celEvents,
  EventLogError,
  type FirmwareLog,
  IMA_PCR,
  imaEvents,
  type LogEvent,
  type LogSource,
  measureLogEvents,
  type ProofOf,
  type Register,
  registerName,
  type StartupLocality,
  type TimelineEvent,
  timeline,
} from '../event-log/index.ts'
import type { EvidenceFile } from '../evidence-file/index.ts'
import { type Examined, examineEvidence } from './examine.ts'
import { describeKind, type OpenedEvidence } from './open.ts'
import { judgeQuote } from './quote-rules.ts'
import { type RegisterRow, registerTable, replayedTable } from './register-table.ts'
import { bootLines, imaLines, launchLines, machineLines, quoteLines, type SummaryLine } from './summary.ts'

/** A file as `holdfast evidence show` shows it, whatever it is. */
export interface ShownEvidence {
  /** What was found to be in it. */
  readonly kind: OpenedEvidence['kind']
  readonly detected: string
  readonly sizeBytes: number
  /** `absent`: a log by itself. `refused`: there is one, and it proves nothing. */
  readonly quote: { readonly state: 'verified' | 'refused' | 'absent'; readonly extraData?: string }
  readonly summary: readonly SummaryLine[]
  readonly registers: readonly RegisterRow[]
  /** Log after log, made while it is read. IMA's entries are left out unless asked for; of a list by itself they are all there is. */
  readonly events: (options?: EventOptions) => Generator<TimelineEvent>
  /** Registers that have events, in the order of `registers`. */
  readonly eventRegisters: readonly Register[]
  /** Entries of IMA's list that `events` leaves out unless asked. */
  readonly imaEntries: number
  /** What the log says of the register of its events is nothing: an AAEL. */
  readonly registerUnknown: boolean
}

export interface EventOptions {
  readonly register?: Register
  readonly source?: LogSource
  readonly ima?: boolean
}

/** Makes what was read fit to be shown. @throws EventLogError for a CEL record whose content is not of its type */
export function shownEvidence(opened: OpenedEvidence, now: Date): ShownEvidence {
  const common = { kind: opened.kind, detected: describeKind(opened), sizeBytes: opened.bytes.length }
  return opened.kind === 'evidence' ? { ...common, ...fileShown(opened.file, now) } : { ...common, ...logShown(opened) }
}

type Shown = Omit<ShownEvidence, 'kind' | 'detected' | 'sizeBytes'>

function fileShown(file: EvidenceFile, now: Date): Shown {
  const judged = judgeQuote(file)
  const examined = examineEvidence(file.logs, judged.quote, now)
  const { facts } = examined.boot
  return {
    quote: {
      state: judged.quote === undefined ? 'refused' : 'verified',
      ...(judged.quote !== undefined && { extraData: toHex(judged.quote.extraData) }),
    },
    summary: [
      ...machineLines(file),
      ...quoteLines(file, judged),
      ...(facts === undefined ? missingBoot(examined) : bootLines(facts, true)),
      ...imaLines(examined),
      ...launchLines(examined),
    ],
    registers: registerTable(examined),
    events: (options = {}) => fileEvents(examined, options),
    eventRegisters: registersOf(examined),
    imaEntries: examined.ima?.entries ?? 0,
    registerUnknown: false,
  }
}

function missingBoot({ boot }: Examined): SummaryLine[] {
  const why = boot.findings.find((f) => f.rule === 'boot.log')
  return why === undefined ? [] : [{ section: 'boot', what: 'firmware log', text: why.message }]
}

function* fileEvents({ events }: Examined, { register, source, ima = false }: EventOptions): Generator<TimelineEvent> {
  const wanted = { ...(register !== undefined && { register }), ima: source === undefined ? ima : source === 'ima' }
  for (const told of events(wanted)) if (source === undefined || told.event.source === source) yield told
}

function registersOf({ boot, ima, launch }: Examined): Register[] {
  const found = [...boot.timeline()].map(({ event }) => event.register)
  if (ima !== undefined) found.push({ kind: 'pcr', index: ima.pcr })
  if (launch !== undefined) found.push(launch.register)
  return distinct(found)
}

function distinct(registers: Iterable<Register>): Register[] {
  const found = new Map<string, Register>()
  for (const register of registers) if (!found.has(registerName(register))) found.set(registerName(register), register)
  return [...found.values()].sort((a, b) => a.kind.localeCompare(b.kind) || a.index - b.index)
}

const NOT_QUOTED: ProofOf = () => ({ state: 'not-quoted' })
const WHY = 'there is no quote beside this log'

function logShown(opened: Exclude<OpenedEvidence, { kind: 'evidence' }>): Shown {
  const log = logOf(opened)
  const survey = surveyOf(log)
  const told = function* ({ register, source }: EventOptions = {}): Generator<TimelineEvent> {
    if (source !== undefined && source !== log.source) return
    for (const each of timeline([{ source: log.source, events: readable(log.events()) }], NOT_QUOTED, register)) {
      yield each.proof === 'not-quoted' ? { ...each, why: `${WHY}; ${each.event.why}` } : each
    }
  }
  return {
    quote: { state: 'absent' },
    summary: [...log.summary, ...survey.broken],
    registers: survey.rows,
    events: told,
    eventRegisters: survey.registers,
    imaEntries: 0,
    registerUnknown: opened.kind === 'aael',
  }
}

interface RawLog {
  readonly source: LogSource
  readonly events: () => Iterable<LogEvent>
  readonly summary: readonly SummaryLine[]
  readonly locality?: StartupLocality
}

function logOf(opened: Exclude<OpenedEvidence, { kind: 'evidence' }>): RawLog {
  switch (opened.kind) {
    case 'firmware':
      return firmwareLog(opened.log, opened.bytes)
    case 'ima': {
      const { bytes } = opened.list
      // the kernel's own rule in each bank is only known with a quote; this is that of kernels since 5.8
      return { source: 'ima', events: () => imaEvents(bytes, { banks: ['sha256'] }), summary: [] }
    }
    case 'systemd':
      return { source: 'systemd', events: () => measureLogEvents(opened.log.records), summary: [] }
    case 'cel': {
      const { records } = opened.log
      const events = [...celEvents(records)]
      return { source: events[0]?.source ?? 'cel', events: () => events, summary: [] }
    }
    case 'aael':
      return { source: 'aael', events: () => aaelEvents(opened.log, AAEL_REGISTER), summary: [] }
  }
}

/** An AAEL does not name its register; nothing shown says that it is this one. */
const AAEL_REGISTER: Register = { kind: 'pcr', index: IMA_PCR }

function firmwareLog(log: FirmwareLog, bytes: Uint8Array): RawLog {
  const boot = bootLog(log)
  const locality = loggedLocality(boot)
  // facts of a CCEL are read by rules of PCRs only where they have the same sense
  const { facts } = log.registers === 'pcr' ? appraiseBoot({ firmware: bytes, quoted: [] }) : { facts: undefined }
  return {
    source: 'firmware',
    events: () => firmwareLogEvents(boot),
    summary: facts === undefined ? [] : bootLines(facts, false),
    ...(locality !== undefined && { locality }),
  }
}

/** All that is told of a log as a whole, in one pass: it may be long. */
function surveyOf({ events, locality }: RawLog): Survey {
  const registers = new Map<string, Register>()
  const broken: SummaryLine[] = []
  let read = 0
  const watched = function* (): Generator<LogEvent> {
    try {
      for (const event of events()) {
        read++
        const { kind, index } = event.register
        const key = `${kind} ${index}`
        if (!registers.has(key)) registers.set(key, event.register)
        yield event
      }
    } catch (err) {
      if (!(err instanceof EventLogError)) throw err
      broken.push({ section: 'log', what: 'broken', text: `after ${read} entries: ${err.message} (${err.code})` })
    }
  }
  const rows = replayedTable(watched(), locality)
  return { rows, registers: distinct(registers.values()), broken }
}

interface Survey {
  readonly rows: readonly RegisterRow[]
  readonly registers: readonly Register[]
  readonly broken: readonly SummaryLine[]
}

/** Ends where a list breaks off: what comes before it was read. */
function* readable(events: Iterable<LogEvent>): Generator<LogEvent> {
  try {
    yield* events
  } catch (err) {
    if (!(err instanceof EventLogError)) throw err
  }
}
