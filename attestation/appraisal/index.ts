export { signEar, type Tier, type TrustworthinessVector, type VectorClaim, worstTier } from '../results/index.ts'
export { type Continuity, type ContinuityKind, decideContinuity } from './continuity.ts'
export { EAR_SUBMOD, type EarContext, earClaims } from './ear.ts'
export { appraiseEnterRequest, type EnterInput, enterTicketSubject } from './enter-request.ts'
export { appraiseEvidence, appraiseSilence, type Evidence, type EvidenceAppraisal } from './evidence.ts'
export { type Finding, type FindingDetails, type FindingEvent, finding } from './finding.ts'
export {
  appraiseLaunchLog,
  type BootProof,
  type LaunchLogAppraisal,
  type LaunchLogInput,
  type LogAhead,
} from './launch-log.ts'
export type { LaunchLogPolicy } from './launch-log-rules.ts'
export { imageKey, type LaunchLogState, type OpenPod } from './launch-log-state.ts'
export {
  type NodeState,
  type Quarantine,
  releaseNode,
  wantedLog,
  withAnotherAk,
  withTicket,
} from './node-state.ts'
export { NodeStateError, type NodeStateErrorCode, parseNodeState, serialiseNodeState } from './node-state-text.ts'
export { appraiseRequest, type RequestInput, ticketSubject } from './request.ts'
export { type AppraisalResult, appraisalResult, REQUIRED_CLAIMS } from './result.ts'
export { reasonsAgainst, STANDINGS, type Standing, standingOf, tierFromText, worstFirst } from './standing.ts'
export {
  markOverdue,
  type PendingTicket,
  pendingTicket,
  settleTickets,
  type TicketEnd,
  voidTickets,
} from './tickets.ts'
