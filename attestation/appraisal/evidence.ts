import type { BankRegisters } from '../event-log/index.ts'
import type { QuotedBody } from '../protocol/index.ts'
import type { ClockInfo } from '../tpm2/index.ts'
import { type ContinuityKind, decideContinuity } from './continuity.ts'
import { type Finding, finding } from './finding.ts'
import { appraiseLaunchLog, type BootProof, isExplained } from './launch-log.ts'
import type { LaunchLogPolicy } from './launch-log-rules.ts'
import type { NodeState } from './node-state.ts'
import { markOverdue, type PendingTicket, type TicketEnd, voidTickets } from './tickets.ts'

/** A verified quote and what came with it. */
export interface Evidence {
  /** As the quote has it. */
  readonly clock: ClockInfo
  readonly pcr: number
  /** The launch log's register in every allocated bank, from values that the quote's digest covers. */
  readonly registers: BankRegisters
  readonly log: QuotedBody['log']
}

export interface EvidenceAppraisal {
  /** To be stored in place of the previous state. */
  readonly state: NodeState
  /**
   * What this very quote proves of the log. The state may hold an older proof where it proves nothing; no launch rests
   * on that.
   */
  readonly proof: BootProof | undefined
  readonly continuity: ContinuityKind
  readonly findings: readonly Finding[]
  /** Tickets whose end this evidence showed, and those that fell overdue with it. */
  readonly ended: readonly TicketEnd[]
  readonly overdue: readonly PendingTicket[]
  readonly provenRecords: number
  readonly unprovenRecords: number
}

/**
 * Continuity, then the launch log, then the tickets that are out. Pure: same in, same out; the caller has verified the
 * quote.
 *
 * @param previous state of this node and AK; undefined at first contact or after an operator's release
 * @param now wall clock, for ticket deadlines
 */
export function appraiseEvidence(
  previous: NodeState | undefined,
  evidence: Evidence,
  policy: LaunchLogPolicy,
  now: Date,
): EvidenceAppraisal {
  const { clock, pcr } = evidence
  const anotherLog = previous?.boot !== undefined && evidence.log.offset === 0
  const continuity = decideContinuity(previous?.clock, clock, previous?.anotherAk, anotherLog)
  if (previous !== undefined && (previous.quarantine !== undefined || continuity.kind === 'rollback')) {
    return quarantined(previous, continuity, now)
  }

  const sameLog = continuity.kind === 'same-boot' && previous?.pcr === pcr
  const tickets = previous?.tickets ?? []
  const voided = sameLog
    ? { pending: tickets, ended: [] }
    : voidTickets(tickets, continuity.kind === 'tpm-clear' ? undefined : clock)
  const firstContact = previous === undefined || (previous.firstContact && continuity.kind === 'same-boot')
  const log = appraiseLaunchLog({
    boot: sameLog ? previous?.boot : undefined,
    ahead: sameLog ? previous?.ahead : undefined,
    tickets: voided.pending,
    resumable: resumableRegister(continuity.kind, previous?.boot, policy),
    firstContact,
    clock,
    pcr,
    registers: evidence.registers,
    piece: evidence.log,
    policy,
  })
  const { pending, overdue } = markOverdue(log.tickets, now.getTime())
  return {
    state: {
      clock,
      pcr,
      ...(log.boot !== undefined && { boot: log.boot }),
      ...(log.ahead !== undefined && { ahead: log.ahead }),
      tickets: pending,
      firstContact: firstContact && log.boot === undefined,
    },
    proof: log.proof,
    continuity: continuity.kind,
    findings: [...continuity.findings, ...log.findings, ...ticketFindings(pending)],
    ended: [...voided.ended, ...log.ended],
    overdue,
    provenRecords: log.provenRecords,
    unprovenRecords: log.unprovenRecords,
  }
}

/**
 * Where the proof of the log before ended, when a register that holds just this explains how the next log begins: a TPM that resumes keeps its registers,
 * and so does TPM2_Clear. What stands against the log of before would be forgotten with it, so that it must be nothing.
 */
function resumableRegister(
  kind: ContinuityKind,
  boot: BootProof | undefined,
  policy: LaunchLogPolicy,
): BankRegisters | undefined {
  if (boot === undefined || (kind !== 'tpm-restart' && kind !== 'tpm-clear')) return undefined
  const { log, replay } = boot
  if (log.violations.length > 0 || !isExplained(log, policy)) return undefined
  // the agent that comes with another key does not know the pods of the one before: it could not end them
  if (kind === 'tpm-clear' && [...log.pods.values()].some((pod) => pod.launched)) return undefined
  return replay.banks
}

/**
 * The same look at tickets while no quote arrives: for the verifier's timer.
 * @returns the state to store, which tickets fell overdue just now, and the findings of all that are
 */
export function appraiseSilence(
  state: NodeState,
  now: Date,
): { readonly state: NodeState; readonly overdue: readonly PendingTicket[]; readonly findings: readonly Finding[] } {
  const { pending, overdue } = markOverdue(state.tickets, now.getTime())
  return { state: { ...state, tickets: pending }, overdue, findings: ticketFindings(pending) }
}

function quarantined(
  previous: NodeState,
  continuity: { readonly kind: ContinuityKind; readonly findings: readonly Finding[] },
  now: Date,
): EvidenceAppraisal {
  const cause = continuity.findings.find((f) => f.tier === 'contraindicated')
  const quarantine = previous.quarantine ?? {
    rule: cause?.rule ?? 'continuity.counters',
    reason: cause?.message ?? 'the TPM went back',
    at: now.toISOString(),
  }
  const message = `in quarantine since ${quarantine.at} by ${quarantine.rule}: ${quarantine.reason}; an operator must release the node`
  return {
    state: { ...previous, quarantine },
    proof: undefined,
    continuity: continuity.kind,
    findings: [...continuity.findings, finding('node.quarantine', 'contraindicated', 'instance-identity', message)],
    ended: [],
    overdue: [],
    provenRecords: 0,
    unprovenRecords: 0,
  }
}

function ticketFindings(pending: readonly PendingTicket[]): Finding[] {
  return pending
    .filter((t) => t.overdue)
    .map((t) =>
      finding(
        'launch-log.ticket-deadline',
        'contraindicated',
        'executables',
        `ticket ${t.id} for pod ${t.uuid}: no quote by ${new Date(t.deadlineMs).toISOString()} proved its launch or another record in its place`,
      ),
    )
}
