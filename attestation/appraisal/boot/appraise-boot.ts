import type { HashAlgorithm } from '../../crypto/index.ts'
import {
  describeFirmwareEvent,
  EventLogError,
  eventTypeName,
  type FirmwareLog,
  type LogEvent,
  type LogSource,
  type Register,
  type RegisterProof,
  readFirmwareLog,
  type TimelineEvent,
  timeline,
} from '../../event-log/index.ts'
import type { PcrValue } from '../../tpm2/index.ts'
import { type Finding, finding } from '../finding.ts'
import { bootFacts, withRecords } from './boot-facts.ts'
import { type BootLog, bootLog } from './boot-log.ts'
import { dataDigestFindings, eventDataFindings, variableDigestFindings } from './data-rules.ts'
import { afterSeparatorFindings, eventTypeFindings, noActionFindings, paddingFindings } from './event-rules.ts'
import type { BootFacts } from './facts.ts'
import { actionOrderFindings, bootApplicationFindings, exitBootServicesFindings } from './handover-rules.ts'
import { registerOf } from './judge.ts'
import { localityFindings } from './locality-rule.ts'
import { keptMeasureLogFindings, type MeasureLogPiece, readMeasureLogPiece } from './measure-log.ts'
import { type LogPiece, nextState } from './next-state.ts'
import { type LaterLog, type QuotedRegisters, type RegisterOutcome, replayBoot } from './replay-boot.ts'
import { replayFindings } from './replay-rules.ts'
import {
  debugModeFindings,
  dmaProtectionFindings,
  pcr7OrderFindings,
  secureBootFindings,
  secureBootVerdict,
} from './secure-boot-rules.ts'
import { separatorFindings, truncationFindings } from './separator-rules.ts'
import type { BootState } from './state.ts'

/** A log that extends registers behind the firmware's, read by its own reader. */
export interface LaterPiece extends LaterLog {
  /** From where in the log its bytes came, and how many; absent for a log that is always sent whole. */
  readonly piece?: { readonly offset: number; readonly bytes: number }
}

export interface BootInput {
  /** The TCG firmware log, whole; absent where the node has none, or where `previous` knows it. */
  readonly firmware?: Uint8Array
  /** systemd's tpm2-measure.log, from where `previous.state.wanted` wants it. */
  readonly systemd?: MeasureLogPiece
  /** Further logs, in the order in which they extend registers that they share. */
  readonly later?: readonly LaterPiece[]
  /** Values that a verified quote covers, and nothing else. */
  readonly quoted: readonly PcrValue[]
  /** What an earlier appraisal of the same TPM start gave. */
  readonly previous?: Pick<BootAppraisal, 'findings' | 'facts' | 'state'>
  /** Registers that others appraise: the launch log's, IMA's. */
  readonly elsewhere?: ReadonlySet<number>
}

export interface BootAppraisal {
  readonly findings: readonly Finding[]
  /** Absent where no firmware log could be read. */
  readonly facts?: BootFacts
  /** To be kept for the next quote of the same TPM start. */
  readonly state: BootState
  /** Every event of the logs given, with what is proved of it; made while it is read. */
  readonly timeline: (only?: Register) => Generator<TimelineEvent>
}

/**
 * Rules that look at the quote: asked anew each time. All others look at the firmware log, which does not change within
 * one TPM start.
 */
const QUOTE_RULES: ReadonlySet<string> = new Set([
  'boot.selection',
  'boot.replay',
  'boot.empty-register',
  'boot.banks',
  'boot.bank-unused',
  'boot.bank-strength',
  'boot.measure-log',
])

/**
 * Appraises how a machine was booted: replays its logs to a verified quote, holds the rules of the firmware log against
 * it, and reads out what policies judge. Pure; never throws for anything that a node sends. A log that is missing or
 * cannot be read is a finding, and nothing is affirming then.
 *
 * Source of the rules: PC Client Platform Firmware Profile r1.06 §3.3.4, §10; README.md lists them.
 */
export function appraiseBoot(input: BootInput): BootAppraisal {
  const quoted = quotedRegisters(input.quoted)
  const read = readLog(input.firmware)
  const boot = read.log === undefined ? undefined : bootLog(read.log)
  const previous = input.previous?.state
  const systemd = readMeasureLogPiece(input.systemd, firstEvent('systemd', input.systemd?.offset ?? 0, previous))
  const measured = { offset: input.systemd?.offset ?? 0, bytes: systemd.bytes }
  const later: LaterPiece[] = [
    ...(input.systemd === undefined ? [] : [{ source: 'systemd' as const, events: systemd.events, piece: measured }]),
    ...(input.later ?? []),
  ]
  const elsewhere = input.elsewhere ?? new Set()
  const outcomes = replayBoot({ boot, later, quoted, previous, elsewhere })
  const asked = [
    ...replayFindings({ log: read.log, quoted, outcomes }),
    ...keptMeasureLogFindings(input.previous?.findings ?? [], input.systemd),
    ...systemd.findings,
  ]
  const pieces = logPieces(input.firmware, boot, later, previous)
  const state = nextState({ previous, boot, later, pieces, quoted, outcomes })
  const told = (only?: Register) => timeline([...timelineLogs(boot, later)], proofOf(outcomes), only)
  if (boot === undefined) {
    const kept = input.previous?.findings.filter((f) => !QUOTE_RULES.has(f.rule)) ?? []
    const before = input.previous?.facts
    const facts = before === undefined ? undefined : withRecords(before, systemd.records, outcomes)
    const findings = [
      ...(input.previous === undefined || read.problem !== undefined ? [missingLog(read.problem)] : []),
      ...kept,
      ...asked,
    ]
    return { findings, ...(facts !== undefined && { facts }), state, timeline: told }
  }
  const secureBoot = secureBootVerdict(boot, outcomes.get(boot.role.secureBoot))
  return {
    findings: [
      finding('boot.log', 'affirming', 'hardware', `a firmware log of ${boot.events.length} events`),
      ...asked,
      ...logFindings(boot, outcomes),
      ...secureBootFindings(boot, secureBoot),
    ],
    facts: bootFacts({ boot, records: systemd.records, quoted, outcomes, secureBoot }),
    state,
    timeline: told,
  }
}

function logFindings(boot: BootLog, outcomes: ReadonlyMap<number, RegisterOutcome>): Finding[] {
  return [
    ...localityFindings(boot, outcomes.get(0)),
    ...noActionFindings(boot),
    ...paddingFindings(boot),
    ...separatorFindings(boot),
    ...truncationFindings(boot),
    ...exitBootServicesFindings(boot, outcomes.get(boot.role.bootManager)),
    ...actionOrderFindings(boot),
    ...bootApplicationFindings(boot),
    ...eventTypeFindings(boot),
    ...afterSeparatorFindings(boot),
    ...variableDigestFindings(boot),
    ...dataDigestFindings(boot),
    ...eventDataFindings(boot),
    ...pcr7OrderFindings(boot),
    ...debugModeFindings(boot),
    ...dmaProtectionFindings(boot),
  ]
}

interface ReadLog {
  readonly log?: FirmwareLog
  /** Why there is none, where there should be one. */
  readonly problem?: EventLogError
}

function readLog(bytes: Uint8Array | undefined): ReadLog {
  if (bytes === undefined || bytes.length === 0) return {}
  try {
    return { log: readFirmwareLog(bytes) }
  } catch (err) {
    if (err instanceof EventLogError) return { problem: err }
    throw err
  }
}

function missingLog(problem: EventLogError | undefined): Finding {
  if (problem !== undefined) {
    const message = `the firmware log cannot be read, and is not read in part: ${problem.code}: ${problem.message}`
    return finding('boot.log', 'contraindicated', 'hardware', message)
  }
  const message =
    'there is no firmware log: the machine has none, or /sys/kernel/security/tpm0/binary_bios_measurements was not sent'
  return finding('boot.log', 'none', 'hardware', message)
}

/** Values by register. A bank that is named twice keeps its first value; a verified quote names none twice. */
export function quotedRegisters(values: readonly PcrValue[]): QuotedRegisters {
  const out = new Map<number, { [bank in HashAlgorithm]?: Uint8Array }>()
  for (const { pcr, bank, value } of values) {
    const banks = out.get(pcr)
    if (banks === undefined) out.set(pcr, { [bank]: value })
    else banks[bank] ??= value
  }
  return out
}

/**
 * Index, in the whole log, of the first event of a piece. One from elsewhere than was wanted is of a log that began
 * anew.
 */
function firstEvent(source: LogSource, offset: number, previous: BootState | undefined): number {
  const mark = previous?.wanted[source]
  return mark?.offset === offset ? mark.events : 0
}

function logPieces(
  firmware: Uint8Array | undefined,
  boot: BootLog | undefined,
  later: readonly LaterPiece[],
  previous: BootState | undefined,
): LogPiece[] {
  const pieces: LogPiece[] = []
  if (boot !== undefined) pieces.push({ source: 'firmware', offset: 0, events: 0, bytes: firmware?.length ?? 0 })
  for (const { source, piece } of later) {
    if (piece !== undefined) pieces.push({ source, events: firstEvent(source, piece.offset, previous), ...piece })
  }
  return pieces
}

function* timelineLogs(boot: BootLog | undefined, later: readonly LaterLog[]) {
  if (boot !== undefined) yield { source: 'firmware' as const, events: firmwareLogEvents(boot) }
  yield* later
}

/** The events of a firmware log as a timeline shows them, one by one. */
export function* firmwareLogEvents(boot: BootLog): Generator<LogEvent> {
  for (const { event, coverage } of boot.events) {
    yield {
      source: 'firmware',
      index: event.index,
      register: registerOf(event.register, boot.log),
      digests: event.digests,
      type: eventTypeName(event.type),
      coverage: coverage.coverage,
      why: coverage.why,
      // most readers look at one register, or at proofs alone, and a description costs more than all the rest
      get text() {
        return describeFirmwareEvent(event, boot.log)
      },
    }
  }
}

function proofOf(outcomes: ReadonlyMap<number, RegisterOutcome>): (register: Register) => RegisterProof {
  return ({ kind, index }) => {
    const outcome = kind === 'pcr' ? outcomes.get(index) : undefined
    if (outcome === undefined || outcome.state === 'not-quoted' || outcome.state === 'log-missing')
      return { state: 'not-quoted' }
    return outcome.state === 'replayed' ? { state: 'replayed', proven: outcome.proven } : { state: 'refuted' }
  }
}
