import { CodedError } from '../base/index.ts'

/**
 * Why the verifier's CA could not be loaded or would not issue.
 *
 * - `CA_CERT_INVALID`: the CA certificate's file holds no certificate that may issue.
 * - `CA_KEY_INVALID`: the CA key's file holds no P-256 private key.
 * - `CA_KEY_MISMATCH`: certificate and key do not belong together.
 * - `CA_EXPIRED`: the CA is outside its validity, or would be before the new certificate begins.
 * - `CA_NAME_INVALID`: a name that cannot be put into a certificate.
 * - `CA_SUBJECT_KEY_INVALID`: the key to certify is not an RSA key of 2048 bits or more, nor on P-256, P-384 or P-521.
 */
export type CaErrorCode =
  | 'CA_CERT_INVALID'
  | 'CA_KEY_INVALID'
  | 'CA_KEY_MISMATCH'
  | 'CA_EXPIRED'
  | 'CA_NAME_INVALID'
  | 'CA_SUBJECT_KEY_INVALID'

/** The verifier's CA cannot do what was asked. */
export class CaError extends CodedError<CaErrorCode> {}
