import { CodedError } from '../base/index.ts'

/**
 * Why an endorsement was not accepted.
 *
 * - `CERT_MALFORMED`: bytes that are no X.509 certificate, attribute certificate or CRL, even read leniently.
 * - `CERT_TOO_LARGE`: more bytes, certificates or extensions than any real chain has; nothing was parsed past the
 *   limit.
 * - `EK_UNSUPPORTED`: the EK is of a type, size or curve that no rule here covers.
 * - `EK_NOT_ENDORSED`: no EK certificate, and the operator has not listed the EK.
 * - `EK_CERT_KEY_MISMATCH`: the certificate is about another key than the TPM's EK.
 * - `EK_TEMPLATE`: the certificate is about this key, but the rest of the public area is of no TCG template.
 * - `EK_CERT_PROFILE`: the certificate breaks rules of the TCG EK credential profile; the findings name them.
 * - `EK_CERT_VALIDITY`: a certificate of the path is outside its validity and the validity policy asks for it.
 * - `EK_CHAIN_ISSUER_UNKNOWN`: a CA certificate is missing between the EK certificate and the operator's root store.
 * - `EK_CHAIN_SIGNATURE_INVALID`: a signature of the path does not verify.
 * - `EK_CHAIN_ALGORITHM`: a signature algorithm or an issuer's key that is not accepted.
 * - `EK_CHAIN_ISSUER_NOT_CA`: an issuer that may not issue: not a CA, no keyCertSign, path length exceeded, or a
 *   critical extension that is not understood.
 * - `EK_CHAIN_TOO_LONG`: no path was found within the limits on length and signature checks.
 * - `EK_CERT_REVOKED`: a CRL of its issuer lists a certificate of the path.
 * - `CRL_UNSUPPORTED`: a CRL of a kind that is not read: delta, indirect, or with a critical extension that is not
 *   understood.
 * - `PLATFORM_NOT_BOUND`: the platform certificate is about another TPM than the one with this EK.
 * - `PLATFORM_PROFILE`: the platform certificate breaks rules of the TCG platform certificate profile.
 */
export type EndorsementErrorCode =
  | 'CERT_MALFORMED'
  | 'CERT_TOO_LARGE'
  | 'EK_UNSUPPORTED'
  | 'EK_NOT_ENDORSED'
  | 'EK_CERT_KEY_MISMATCH'
  | 'EK_TEMPLATE'
  | 'EK_CERT_PROFILE'
  | 'EK_CERT_VALIDITY'
  | 'EK_CHAIN_ISSUER_UNKNOWN'
  | 'EK_CHAIN_SIGNATURE_INVALID'
  | 'EK_CHAIN_ALGORITHM'
  | 'EK_CHAIN_ISSUER_NOT_CA'
  | 'EK_CHAIN_TOO_LONG'
  | 'EK_CERT_REVOKED'
  | 'CRL_UNSUPPORTED'
  | 'PLATFORM_NOT_BOUND'
  | 'PLATFORM_PROFILE'

/** Bad endorsement material; `code` says which kind. */
export class EndorsementError extends CodedError<EndorsementErrorCode> {}
