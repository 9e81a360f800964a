export { type CertificateAuthority, createCa, loadCa } from './authority.ts'
export type { IssuedCertificate } from './builder.ts'
export { CaError, type CaErrorCode } from './errors.ts'
export {
  type AkCertificateRequest,
  CLOCK_SKEW_MS,
  issueAkCertificate,
  issueTlsCertificate,
  nodeUri,
  type TlsCertificateRequest,
} from './issue.ts'
