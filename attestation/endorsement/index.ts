export {
  type Certificate,
  decodeCertificate,
  isSelfIssued,
  MAX_CERTIFICATE_BYTES,
} from './certificate.ts'
export { findPath, MAX_PATH_CERTIFICATES, MAX_SIGNATURE_CHECKS, type PathResult, type ValidityPolicy } from './chain.ts'
export type { DistinguishedName, NameAttribute } from './distinguished-name.ts'
export {
  checkEkCertificate,
  type EkCertificateRule,
  type EndorsementFinding,
  type PathRule,
  type TpmIdentity,
} from './ek-certificate.ts'
export { EndorsementError, type EndorsementErrorCode } from './errors.ts'
export { type Extensions, KEY_USAGE, type KeyUsageBit, type SubjectAltName } from './extensions.ts'
export { keyMismatch } from './match.ts'
export { EXT, KEY, TCG } from './oids.ts'
export type { SubjectPublicKey } from './public-key.ts'
export {
  type BundleProblem,
  type CertificateBundle,
  MAX_BUNDLE_BYTES,
  MAX_BUNDLE_CERTIFICATES,
  makeRootStore,
  makeRootStoreOfBundle,
  parseCertificateBundle,
  type RootStore,
} from './roots.ts'
export {
  type EndorsementClaim,
  type EndorsementResult,
  type EndorsementTrust,
  MAX_SUPPLIED_CERTIFICATES,
  type PathEntry,
  verifyEndorsement,
} from './verify.ts'
