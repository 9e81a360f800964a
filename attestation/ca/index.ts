export { type CertificateAuthority, createCa, loadCa } from './authority.ts'
export type { IssuedCertificate } from './builder.ts'
export { CaError, type CaErrorCode } from './errors.ts'
export {
  type AkCertificateRequest,
  CLOCK_SKEW_MS,
  type EkCertificateRequest,
  issueAkCertificate,
  issueEkCertificate,
  issueTlsCertificate,
  nodeUri,
  type TlsCertificateRequest,
  type TpmName,
} from './issue.ts'
