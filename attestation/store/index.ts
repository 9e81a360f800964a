export { StoreError, type StoreErrorCode } from './errors.ts'
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
export {
  type Enrolment,
  openStore,
  type ResultRecord,
  Store,
  type StoredDecision,
  type StoredVerdict,
} from './store.ts'
