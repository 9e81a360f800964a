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
export { corimRegisters } from './corim-registers.ts'
export { CorimError, type CorimErrorCode } from './errors.ts'
export {
  type ReferenceCommandLine,
  type ReferenceImage,
  type ReferenceProfile,
  type ReferenceSection,
  referenceImage,
} from './image.ts'
export { type KeylimeImport, readKeylimeAllowlist } from './keylime.ts'
export { keylimeFiles } from './keylime-files.ts'
export type { ReferenceFiles, ReferenceRegister } from './references.ts'
