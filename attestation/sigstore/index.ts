export { type Bundle, type LogEntry, parseBundle } from './bundle.ts'
export { bundleOfAnnotations, type CosignAnnotations } from './cosign.ts'
export { SigstoreError, type SigstoreErrorCode } from './errors.ts'
export type { Holder } from './holder.ts'
export { type LoggedSignature, parseLogBody } from './log-body.ts'
export { fingerprintOf, importSigningKey, type SigningKey, verifyMessage } from './signing-key.ts'
export { parseSimpleSigning, type SimpleSigning } from './simple-signing.ts'
export {
  parseTrustedRoot,
  readCertificate,
  type TrustedAuthority,
  type TrustedLog,
  type TrustedRoot,
} from './trusted-root.ts'
export {
  type Artifact,
  type KeyTrust,
  type ProvenSigner,
  type VerifiedSignature,
  verifyBundle,
  verifyBundleByKey,
} from './verify.ts'
