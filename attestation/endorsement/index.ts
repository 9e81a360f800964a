export {
  type AttributeCertificate,
  decodeAttributeCertificate,
  isAttributeCertificate,
} from './attribute-certificate.ts'
export {
  type BundleEntry,
  type BundleProblem,
  type CertificateBundle,
  MAX_BUNDLE_BYTES,
  parseCertificateBundle,
} from './bundle.ts'
export {
  type Certificate,
  decodeCertificate,
  isSelfIssued,
  MAX_CERTIFICATE_BYTES,
} from './certificate.ts'
export {
  findPath,
  MAX_PATH_CERTIFICATES,
  type PathPolicy,
  type PathResult,
  type ValidityPolicy,
} from './chain.ts'
export { decodeRevocationList, isRevocationList, MAX_CRL_BYTES, MAX_CRL_ENTRIES, type RevocationList } from './crl.ts'
export { contextTag, contextTagPrimitive, DerReader, oidText, TAG } from './der.ts'
export { describe } from './describe.ts'
export type { DistinguishedName, NameAttribute } from './distinguished-name.ts'
export {
  checkEkCertificate,
  EK_CERTIFICATE_RULES,
  type EkCertificateRule,
  type EndorsementFinding,
  type PathRule,
  type TpmIdentity,
} from './ek-certificate.ts'
export {
  type EkReport,
  type EkReportInput,
  type KnownEk,
  type MissingCa,
  type RuleOutcome,
  reportEk,
} from './ek-report.ts'
export { ENCODING_ODDITIES, type EncodingOddity, encodingOddities } from './encoding.ts'
export { EndorsementError, type EndorsementErrorCode } from './errors.ts'
export { type Extensions, KEY_USAGE, type KeyUsageBit, type SubjectAltName } from './extensions.ts'
export { issuerKeyFault } from './issuer-rules.ts'
export { crlLocations, issuerLocations } from './locations.ts'
export { keyMismatch } from './match.ts'
export { EXT, KEY, TCG } from './oids.ts'
export {
  type PlatformIdentity,
  type PlatformResult,
  type PlatformSubject,
  type PlatformTrust,
  verifyPlatform,
} from './platform.ts'
export { decodeSubjectPublicKey, modulusBits, type SubjectPublicKey } from './public-key.ts'
export { type CertificatePurpose, certificatePurpose, isSelfSigned } from './purpose.ts'
export { isRocaModulus } from './roca.ts'
export { makeRootStore, makeRootStoreOfBundle, type RootStore } from './roots.ts'
export { signatureName } from './signature-algorithm.ts'
export { vendorName } from './vendors.ts'
export {
  type EndorsementClaim,
  type EndorsementResult,
  type EndorsementTrust,
  type PathEntry,
  verifyEndorsement,
} from './verify.ts'
export { type VouchedResult, verifyVouchedEk } from './vouched.ts'
