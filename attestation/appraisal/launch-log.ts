import {
  type AgentRecord,
  type BankRegisters,
  banksOf,
  CEL_CONTENT_HOLDFAST,
  decodeCelRecord,
  EventLogError,
  equalRegisters,
  fromBankValues,
  type LaunchLogContent,
  parseLaunchLogContent,
  type ReplayedRecord,
  type ReplayState,
  replayRecords,
  replayStart,
  zeroRegisters,
} from '../event-log/index.ts'
import type { QuotedBody } from '../protocol/index.ts'
import type { ClockInfo } from '../tpm2/index.ts'
import { type Finding, finding } from './finding.ts'
import { describe, type LaunchLogPolicy, LaunchLogWalk, type LogStart } from './launch-log-rules.ts'
import type { LaunchLogState } from './launch-log-state.ts'
import type { PendingTicket, TicketEnd } from './tickets.ts'

/** What quotes have proved of the log of one TPM start. */
export interface BootProof {
  readonly replay: ReplayState
  readonly log: LaunchLogState
}

/**
 * Records received behind the proof while a long log comes in pieces: replayed and walked, not yet proved by any quote.
 */
export interface LogAhead extends BootProof {
  readonly tickets: readonly PendingTicket[]
  readonly ended: readonly TicketEnd[]
  readonly notes: readonly Finding[]
}

export interface LaunchLogInput {
  /** Of this TPM start; undefined before anything of it was proved. */
  readonly boot: BootProof | undefined
  readonly ahead: LogAhead | undefined
  readonly tickets: readonly PendingTicket[]
  /** The register where the last TPM start's proof ended, when this one may go on from there: it resumes, or was cleared. */
  readonly resumable: BankRegisters | undefined
  readonly firstContact: boolean
  /** Of the verified quote. */
  readonly clock: Pick<ClockInfo, 'resetCount' | 'restartCount'>
  readonly pcr: number
  /** The register in every allocated bank, of the verified quote. */
  readonly registers: BankRegisters
  readonly piece: QuotedBody['log']
  readonly policy: LaunchLogPolicy
}

export interface LaunchLogAppraisal {
  readonly boot: BootProof | undefined
  /** `boot` where it is this very quote that proves it; undefined where it is what an earlier one left. */
  readonly proof: BootProof | undefined
  readonly ahead: LogAhead | undefined
  readonly tickets: readonly PendingTicket[]
  readonly ended: readonly TicketEnd[]
  readonly findings: readonly Finding[]
  /** Records of this piece that the quote proved, and those that it did not reach. */
  readonly provenRecords: number
  readonly unprovenRecords: number
}

/** A static PCR that only a TPM start can set back. 16 and 23 anybody may reset, 17 to 22 belong to dynamic launch. */
const LAST_STATIC_PCR = 15
/** A log of 100,000 records has about 60 MB; nobody needs to send more than this before a quote matches. */
const MAX_AHEAD_BYTES = 256 << 20

/**
 * Appraises a piece of the launch log against the register of a verified quote. The log may be ahead of the quote: the
 * longest prefix that replays to the quoted register of every bank is proved, what lies behind is not. A log of which
 * no prefix does is contraindicated, unless it says that more is to come, and then nothing is known yet.
 */
export function appraiseLaunchLog(input: LaunchLogInput): LaunchLogAppraisal {
  const { piece, pcr, registers, policy } = input
  const from = input.ahead ?? input.boot
  const refuse = (rule: string, message: string): LaunchLogAppraisal => ({
    boot: input.boot,
    proof: undefined,
    ahead: undefined,
    tickets: input.tickets,
    ended: [],
    findings: [
      finding(rule, 'contraindicated', 'executables', message),
      ...(input.boot === undefined ? [] : stateFindings(input.boot.log, policy)),
    ],
    provenRecords: 0,
    unprovenRecords: 0,
  })

  if (pcr > LAST_STATIC_PCR) return refuse('launch-log.register', `PCR ${pcr} can be set back without a TPM start`)
  if (piece.resetCount !== input.clock.resetCount || piece.restartCount !== input.clock.restartCount) {
    const { resetCount, restartCount } = input.clock
    const message = `log of TPM start ${piece.resetCount}-${piece.restartCount}, quote of ${resetCount}-${restartCount}`
    return refuse('launch-log.tpm-start', message)
  }
  const offset = from?.replay.offset ?? 0
  if (piece.offset !== offset)
    return refuse('launch-log.offset', `log sent from offset ${piece.offset}, asked from ${offset}`)

  let start: LogStart | undefined
  let records: ParsedRecord[]
  let replay: ReplayState
  try {
    if (from === undefined) {
      start = readStart(piece.bytes, input.resumable)
      if (start === undefined) return refuse('launch-log.start', 'the log does not begin with an agent record')
      replay = replayStart(start.start)
    } else replay = from.replay
    if (banksOf(replay.banks).join() !== banksOf(registers).join()) {
      return refuse('launch-log.banks', `the log has ${banksOf(replay.banks)}, the quote ${banksOf(registers)}`)
    }
    records = parseRecords(replayRecords(replay, piece.bytes, { pcr, banks: banksOf(registers) }))
  } catch (err) {
    if (err instanceof EventLogError) return refuse('launch-log.format', `${err.code}: ${err.message}`)
    throw err
  }

  const proven = provenPrefix(replay, records, registers)
  if (proven === undefined && !piece.more) {
    const end = records.at(-1)?.replayed.after.banks ?? replay.banks
    return refuse(
      'launch-log.replay',
      `no prefix of the log replays to the quoted ${describe(registers)}; all of it gives ${describe(end)}`,
    )
  }
  if (proven === undefined && offset + piece.bytes.length > MAX_AHEAD_BYTES) {
    return refuse('launch-log.replay', `${MAX_AHEAD_BYTES} bytes of log, and none of it replays to a quote`)
  }

  const walked = records.slice(0, proven)
  const walk = walkRecords(input, from, start, replay, walked)
  const log = walk?.state() ?? from?.log
  if (log === undefined) return refuse('launch-log.start', 'the log is empty') // a start has at least its first record
  const end = walked.at(-1)?.replayed.after ?? replay
  const tickets = walk?.tickets ?? input.ahead?.tickets ?? input.tickets
  const ended = [...(input.ahead?.ended ?? []), ...(walk?.ended ?? [])]
  const notes = [...(input.ahead?.notes ?? []), ...(walk?.notes ?? [])].slice(0, MAX_NOTES)

  if (proven === undefined) {
    return {
      boot: input.boot,
      proof: undefined,
      ahead: { replay: end, log, tickets, ended, notes },
      tickets: input.tickets,
      ended: [],
      findings: [
        finding(
          'launch-log.replay',
          'none',
          'executables',
          `${end.offset} bytes of log received, more to come before a quote can prove them`,
        ),
      ],
      provenRecords: 0,
      unprovenRecords: records.length,
    }
  }
  const unproven = records.length - walked.length
  const message = `${end.nextRecnum} records replay to the quoted ${describe(registers)}${unproven > 0 ? `, ${unproven} are not yet proven` : ''}`
  const boot = { replay: end, log }
  return {
    boot,
    proof: boot,
    ahead: undefined,
    tickets,
    ended,
    findings: [
      finding('launch-log.replay', 'affirming', 'executables', message),
      ...notes,
      ...stateFindings(log, policy),
    ],
    provenRecords: walked.length,
    unprovenRecords: unproven,
  }
}

const MAX_NOTES = 64

interface ParsedRecord {
  readonly replayed: ReplayedRecord
  readonly content: LaunchLogContent
}

/** The first record's account of how the log begins; undefined when it is no agent record. */
function readStart(bytes: Uint8Array, resumable: BankRegisters | undefined): LogStart | undefined {
  if (bytes.length === 0) return undefined
  const { record } = decodeCelRecord(bytes)
  if (record.contentType !== CEL_CONTENT_HOLDFAST) return undefined
  const first = parseLaunchLogContent(record.content, { offset: 0, recnum: record.recnum })
  if (first.record !== 'agent') return undefined
  const start = fromBankValues(first.found)
  const resumed = resumable !== undefined && equalRegisters(start, resumable) && !isZero(start)
  return { first, start, resumed }
}

function parseRecords(replayed: readonly ReplayedRecord[]): ParsedRecord[] {
  return replayed.map((r) => {
    const { record } = r
    if (record.contentType !== CEL_CONTENT_HOLDFAST) {
      throw new EventLogError('EVENT_LOG_BAD_CONTENT', `record ${record.recnum} has content type ${record.contentType}`)
    }
    return {
      replayed: r,
      content: parseLaunchLogContent(record.content, { offset: r.after.offset, recnum: record.recnum }),
    }
  })
}

/** How many of the records the quoted register proves; undefined when it is none of the states on the way. */
function provenPrefix(from: ReplayState, records: readonly ParsedRecord[], quoted: BankRegisters): number | undefined {
  for (let n = records.length; n > 0; n--) {
    const at = records[n - 1]
    if (at !== undefined && equalRegisters(at.replayed.after.banks, quoted)) return n
  }
  return equalRegisters(from.banks, quoted) ? 0 : undefined
}

function walkRecords(
  input: LaunchLogInput,
  from: BootProof | undefined,
  start: LogStart | undefined,
  replay: ReplayState,
  records: readonly ParsedRecord[],
): LaunchLogWalk | undefined {
  const begin = from?.log ?? start
  if (begin === undefined || records.length === 0) return undefined
  const walk = new LaunchLogWalk(begin, input.ahead?.tickets ?? input.tickets, input.firstContact)
  let before = replay.banks
  for (const { replayed, content } of records) {
    walk.step(before, content, replayed.after.banks)
    before = replayed.after.banks
  }
  return walk
}

/** What the proven state says whenever it is looked at, new records or none. */
function stateFindings(log: LaunchLogState, policy: LaunchLogPolicy): Finding[] {
  return [
    startFinding(log, policy),
    modeFinding(log.agent),
    keysFinding(log.agent, policy),
    imagesFinding(log),
    ...unticketedFindings(log),
    ...log.violations,
  ]
}

function startFinding(log: LaunchLogState, policy: LaunchLogPolicy): Finding {
  const rule = 'launch-log.start'
  if (isZero(log.start))
    return finding(rule, 'affirming', 'executables', 'the register was zero when the agent started')
  const found = `the agent found ${describe(log.start)}`
  if (log.resumed)
    return finding(
      rule,
      'affirming',
      'executables',
      `${found}, where the proof ended before the TPM resumed or was cleared`,
    )
  if (isExplained(log, policy)) return finding(rule, 'affirming', 'executables', `${found}, which the policy explains`)
  return finding(
    rule,
    'contraindicated',
    'executables',
    `${found}, and nothing explains what was measured there before it`,
  )
}

/** Whether it is known how the register came to what it held before the agent. */
export function isExplained({ start, resumed }: LaunchLogState, { startValues }: LaunchLogPolicy): boolean {
  return isZero(start) || resumed || startValues.some((value) => equalRegisters(value, start))
}

function modeFinding({ mode }: AgentRecord): Finding {
  const tier = mode === 'enforce' ? 'affirming' : 'warning'
  return finding('launch-log.mode', tier, 'configuration', `the agent runs in mode ${mode}`)
}

function keysFinding({ verifierKeys }: AgentRecord, policy: LaunchLogPolicy): Finding {
  const rule = 'launch-log.verifier-keys'
  const foreign = verifierKeys.filter((key) => !policy.verifierKeys.has(key))
  if (foreign.length > 0) {
    return finding(
      rule,
      'warning',
      'configuration',
      `the agent also obeys ${foreign.length} verifiers that are not of this fleet: ${foreign[0]}`,
    )
  }
  if (verifierKeys.length === 0) return finding(rule, 'warning', 'configuration', 'the agent pins no ticket key')
  return finding(rule, 'affirming', 'configuration', 'the agent obeys verifiers of this fleet only')
}

function imagesFinding(log: LaunchLogState): Finding {
  const message = `${log.stage1s.size} stage1 and ${log.images.size} app images measured by tree digest`
  return finding('launch-log.images', 'affirming', 'file-system', message)
}

/** The agent may enforce again by now: what it let in while it did not is still there. */
function unticketedFindings({ pods }: LaunchLogState): Finding[] {
  const [first, ...others] = [...pods].filter(([, pod]) => pod.unticketed).map(([uuid]) => uuid)
  if (first === undefined) return []
  const more = others.length === 0 ? '' : ` and ${others.length} more`
  const message = `pod ${first}${more} was launched without a ticket, and its end is not in the log`
  return [finding('launch-log.unticketed', 'warning', 'executables', message)]
}

function isZero(registers: BankRegisters): boolean {
  return equalRegisters(registers, zeroRegisters(banksOf(registers)))
}
