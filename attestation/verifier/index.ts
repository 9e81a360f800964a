export { appraisalPolicyFiles, readAppraisalPolicy } from './appraisal-policies.ts'
export {
  type AdmissionMode,
  parseVerifierConfig,
  readVerifierConfig,
  type VerifierConfig,
  VerifierError,
  type VerifierErrorCode,
} from './config/index.ts'
export { SessionError, type SessionErrorCode } from './errors.ts'
export type { TrustFile } from './identity.ts'
export {
  CabinetError,
  type CabinetErrorCode,
  findRoot,
  type ImportedItem,
  type ImportReport,
  importRoots,
  type ListedRoot,
  type RootFlag,
  type RootKind,
  readRootStore,
  readSources,
  removeRoot,
  reportRoots,
  type ShownRoot,
} from './roots/index.ts'
export { type RunningVerifier, runVerifier, type StartOptions, startVerifier } from './run.ts'
