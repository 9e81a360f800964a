import {
  appraiseBoot,
  type BootAppraisal,
  type BootLog,
  bootLog,
  type LaterLog,
  quotedRegisters,
  type RegisterOutcome,
  replayBoot,
} from '../appraisal/boot/index.ts'
import {
  EventLogError,
  type FirmwareLog,
  IMA_PCR,
  measureLogEvents,
  type Register,
  readFirmwareLog,
  readMeasureLog,
  type TimelineEvent,
  timeline,
} from '../event-log/index.ts'
import type { EvidenceFile } from '../evidence-file/index.ts'
import type { VerifiedQuote } from '../tpm2/index.ts'
import { type ExaminedIma, examinedImaEvents, examineIma } from './examine-ima.ts'
import { type ExaminedLaunchLog, examineLaunchLog, launchLogEvents } from './examine-launch-log.ts'

/** All logs of an evidence file, replayed to its quote. */
export interface Examined {
  readonly quote: VerifiedQuote | undefined
  readonly boot: BootAppraisal
  /** Undefined where there is none, or none that can be read; `boot` says which. */
  readonly firmware: BootLog | undefined
  /** Of the registers that firmware and systemd extend. */
  readonly outcomes: ReadonlyMap<number, RegisterOutcome>
  readonly ima: ExaminedIma | undefined
  readonly launch: ExaminedLaunchLog | undefined
  /** Every event with what is proved of it, log after log; made while it is read. IMA's only where they are wanted: a list may be long. */
  readonly events: (options: { readonly register?: Register; readonly ima: boolean }) => Generator<TimelineEvent>
}

/** Replays what is in the file. Total: a log that is broken is a finding of its own part. */
export function examineEvidence(logs: EvidenceFile['logs'], quote: VerifiedQuote | undefined, now: Date): Examined {
  const pcrs = quote?.pcrs ?? []
  const firmware = readBootLog(logs.firmware)
  const systemd = readSystemd(logs.systemd)
  const launch = logs.launch && examineLaunchLog(logs.launch, logs.systemd, quote, now)
  const ima = logs.ima === undefined || logs.ima.length === 0 ? undefined : examineIma(logs.ima, pcrs)
  const elsewhere = new Set([IMA_PCR, ...(launch === undefined ? [] : [launch.pcr]), ...(ima ? [ima.pcr] : [])])
  const boot = appraiseBoot({
    ...(logs.firmware !== undefined && { firmware: logs.firmware }),
    ...(logs.systemd !== undefined && { systemd: { offset: 0, bytes: logs.systemd } }),
    quoted: pcrs,
    elsewhere,
  })
  const later: LaterLog[] = systemd === undefined ? [] : [systemd]
  const outcomes = replayBoot({
    boot: firmware,
    later,
    quoted: quotedRegisters(pcrs),
    previous: undefined,
    elsewhere,
  })
  const examined = { quote, boot, firmware, outcomes, ima, launch }
  return { ...examined, events: (options) => events(examined, logs, later, options) }
}

function* events(
  { boot, ima, launch }: Omit<Examined, 'events'>,
  logs: EvidenceFile['logs'],
  later: readonly LaterLog[],
  { register: only, ima: withIma }: { readonly register?: Register; readonly ima: boolean },
): Generator<TimelineEvent> {
  const before = launch === undefined ? undefined : timeline(later, () => launch.before, launch.register)
  for (const told of boot.timeline(only)) {
    // what systemd measured into the launch log's register is proved by that log, which replays from it
    const isBefore = launch !== undefined && told.event.source === 'systemd' && isSame(told.event.register, launch)
    yield isBefore ? (before?.next().value ?? told) : told
  }
  if (withIma && ima !== undefined && logs.ima !== undefined && mayHave(ima, only)) {
    yield* examinedImaEvents(logs.ima, ima, only)
  }
  if (launch !== undefined && logs.launch !== undefined && (only === undefined || isSame(only, launch))) {
    yield* launchLogEvents(logs.launch.bytes, launch)
  }
}

function mayHave({ pcr, elsewhere }: ExaminedIma, only: Register | undefined): boolean {
  return only === undefined || (only.kind === 'pcr' && (only.index === pcr || elsewhere > 0))
}

function isSame(register: Register, { pcr }: ExaminedLaunchLog): boolean {
  return register.kind === 'pcr' && register.index === pcr
}

function readBootLog(bytes: Uint8Array | undefined): BootLog | undefined {
  if (bytes === undefined || bytes.length === 0) return undefined
  const log = readable((): FirmwareLog => readFirmwareLog(bytes))
  return log && bootLog(log)
}

function readSystemd(bytes: Uint8Array | undefined): LaterLog | undefined {
  const records = bytes && readable(() => readMeasureLog(bytes).records)
  return records && { source: 'systemd', events: [...measureLogEvents(records)] }
}

/** The appraisal of the boot says what is wrong with a log that cannot be read. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (err) {
    if (err instanceof EventLogError) return undefined
    throw err
  }
}
