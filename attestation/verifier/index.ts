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
export { importRoots, type ListedRoot, listRoots, readRootStore } from './roots.ts'
export { type RunningVerifier, runVerifier, type StartOptions, startVerifier } from './run.ts'
