import { CodedError } from '../base/index.ts'

/**
 * Why a Sigstore signature is not believed.
 *
 * - SIGSTORE_MALFORMED: a bundle, payload, envelope, log entry or trusted root that is not of its format.
 * - SIGSTORE_UNSUPPORTED: of its format, but of a version or kind that is not verified here.
 * - SIGSTORE_SIGNATURE_INVALID: the signature is not the key's over what it should be over.
 * - SIGSTORE_ARTIFACT_MISMATCH: it is about another artifact.
 * - SIGSTORE_CERTIFICATE_UNTRUSTED: the certificate leads to no authority of the trusted root at the time of signing, may
 *   not sign, or does not name its holder.
 * - SIGSTORE_CERTIFICATE_UNLOGGED: no certificate transparency log of the trusted root has promised to log it.
 * - SIGSTORE_TIME_UNPROVEN: nothing that is trusted says when it was signed.
 * - SIGSTORE_ENTRY_UNPROVEN: no log of the trusted root has the entry: promise or proof is missing or wrong.
 * - SIGSTORE_ENTRY_MISMATCH: the log's entry is about another signature, key or artifact.
 */
export type SigstoreErrorCode =
  | 'SIGSTORE_MALFORMED'
  | 'SIGSTORE_UNSUPPORTED'
  | 'SIGSTORE_SIGNATURE_INVALID'
  | 'SIGSTORE_ARTIFACT_MISMATCH'
  | 'SIGSTORE_CERTIFICATE_UNTRUSTED'
  | 'SIGSTORE_CERTIFICATE_UNLOGGED'
  | 'SIGSTORE_TIME_UNPROVEN'
  | 'SIGSTORE_ENTRY_UNPROVEN'
  | 'SIGSTORE_ENTRY_MISMATCH'

/** A Sigstore signature, or what it is to be verified with, that must not be believed. */
export class SigstoreError extends CodedError<SigstoreErrorCode> {}

export const malformed = (what: string, cause?: unknown): SigstoreError =>
  new SigstoreError('SIGSTORE_MALFORMED', what, { cause })
