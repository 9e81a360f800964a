export {
  type ApiToken,
  findApiToken,
  listApiTokens,
  noteApiTokenUse,
  revokeApiToken,
  saveApiToken,
} from './api-tokens.ts'
export type { Endorsed, Enrolment } from './enrolment.ts'
export { StoreError, type StoreErrorCode } from './errors.ts'
export type { StoredDecision, StoredVerdict } from './history.ts'
export { kindOf, type NodeEndorsement, type NodePlatform, reliedOn } from './node-endorsement.ts'
export type { NodeEvent, StandingReason } from './node-events.ts'
export { findNode, type OperatorAct, operate, saveToken } from './operator.ts'
export { isSamePod, type PodTpm, type PodTpmClaim } from './pod-tpms.ts'
export {
  countLaunches,
  countNodes,
  type EventFilter,
  eventsBetween,
  evidenceInScope,
  type HistoryFilter,
  type LaunchFilter,
  type LaunchView,
  launchInScope,
  type NodeFilter,
  type NodeKey,
  type NodeView,
  newestEvent,
  nodeInScope,
  type Page,
  pageOfEvents,
  pageOfLaunches,
  pageOfNodes,
  pageOfVerdicts,
  type Scope,
  type VerdictView,
} from './queries.ts'
export {
  type ActView,
  actsOnNode,
  arrivals,
  BUCKETS,
  type Bucket,
  type BucketCount,
  type Detection,
  detections,
  type FoundNode,
  launchOutcomes,
  type MapNode,
  mapNodes,
  nodeMemory,
  nodesByName,
  nodesByPrefix,
  type StandingChanges,
  standingChanges,
} from './queries-fleet.ts'
export type {
  Admission,
  AdmittedBy,
  BoundAk,
  DecisionRecord,
  EvidenceItem,
  Labels,
  NodeRecord,
  NodeVersion,
  VerdictChange,
} from './records.ts'
export type { ResultRecord } from './results.ts'
export { openStore, Store } from './store.ts'
