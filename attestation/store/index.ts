export type { Endorsed, Enrolment } from './enrolment.ts'
export { StoreError, type StoreErrorCode } from './errors.ts'
export type { StoredDecision, StoredVerdict } from './history.ts'
export { type NodeEndorsement, type NodePlatform, reliedOn } from './node-endorsement.ts'
export type { NodeEvent, StandingReason } from './node-events.ts'
export { findNode, type OperatorAct, operate, saveToken } from './operator.ts'
export type {
  Admission,
  AdmittedBy,
  BoundAk,
  DecisionRecord,
  EvidenceItem,
  Labels,
  NodeRecord,
  VerdictChange,
} from './records.ts'
export type { ResultRecord } from './results.ts'
export { openStore, Store } from './store.ts'
