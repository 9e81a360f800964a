import type { ClockInfo } from '../tpm2/index.ts'
import type { BootProof, LogAhead } from './launch-log.ts'
import type { PendingTicket } from './tickets.ts'

/** Why a node is trusted in nothing until an operator acts. */
export interface Quarantine {
  readonly rule: string
  readonly reason: string
  /** ISO 8601, UTC. */
  readonly at: string
}

/** What the appraisal remembers of one node and AK between quotes. */
export interface NodeState {
  /** Of the last verified quote that was no rollback. */
  readonly clock: ClockInfo
  readonly pcr: number
  /** Absent until something of this TPM start's log has been proved. */
  readonly boot?: BootProof
  /** Never stored: after a restart of the verifier the node sends from the proof on again. */
  readonly ahead?: LogAhead
  readonly tickets: readonly PendingTicket[]
  /** True until a log has been proved for the first time: tickets of before are not known here. */
  readonly firstContact: boolean
  readonly quarantine?: Quarantine
  /** The node has another AK than the quotes that this state is of; until its first quote. */
  readonly anotherAk?: true
}

/** Where this node's log is wanted from: for `challenge`, and for the log offset of every answer. */
export function wantedLog(state: NodeState | undefined): { resetCount: number; restartCount: number; offset: number } {
  if (state === undefined) return { resetCount: 0, restartCount: 0, offset: 0 }
  const { resetCount, restartCount } = state.clock
  return { resetCount, restartCount, offset: (state.ahead ?? state.boot)?.replay.offset ?? 0 }
}

/** The state with a ticket that is about to be handed out; it must be stored before the ticket is sent. */
export function withTicket(state: NodeState, ticket: PendingTicket): NodeState {
  return { ...state, tickets: [...state.tickets, ticket] }
}

/** The state when the node has proved another AK of its EK. Whatever stood against it stands. */
export function withAnotherAk(state: NodeState): NodeState {
  return { ...state, anotherAk: true }
}

/**
 * The operator's act: a quarantined node starts anew, as at first contact; violations and overdue tickets of one that
 * is not are forgiven. The act itself belongs into the audit log.
 */
export function releaseNode(state: NodeState): NodeState | undefined {
  if (state.quarantine !== undefined) return undefined
  const { boot, ...rest } = state
  return {
    ...rest,
    ...(boot !== undefined && { boot: { replay: boot.replay, log: { ...boot.log, violations: [] } } }),
    tickets: state.tickets.filter((t) => !t.overdue),
  }
}
