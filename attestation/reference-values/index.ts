export type {
  Comid,
  Corim,
  CorimDigest,
  CorimDocument,
  CorimEnvironment,
  CorimId,
  CorimKeys,
  CorimMeasurement,
  ReferenceValue,
} from './corim.ts'
export { PROFILE_PARSEC_TPM, type ReferencePcr, referencePcrs } from './corim-profiles.ts'
export { readCorim } from './corim-read.ts'
export { CorimError, type CorimErrorCode } from './errors.ts'
