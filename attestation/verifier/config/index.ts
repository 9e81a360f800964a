export {
  type AdmissionMode,
  parseVerifierConfig,
  readVerifierConfig,
  storePlace,
  type VerifierConfig,
} from './config.ts'
export { VerifierError, type VerifierErrorCode } from './errors.ts'
