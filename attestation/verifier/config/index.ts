export { type AdmissionMode, parseVerifierConfig, readVerifierConfig, type VerifierConfig } from './config.ts'
export { VerifierError, type VerifierErrorCode } from './errors.ts'
