import { CodedError } from '../../base/index.ts'

/**
 * VERIFIER_CONFIG_UNREADABLE: the configuration file, or a file that it names, cannot be read.
 * VERIFIER_CONFIG_INVALID: it was read and is wrong; the message lists each mistake as `file:line:col: message`.
 * VERIFIER_KEY_INVALID: a key file is not what it should be.
 * VERIFIER_KEY_EXPOSED: others than its owner can read a key file.
 * VERIFIER_ROOTS_INVALID: a file among the trusted roots, or one to import, is no CA certificate and no CRL.
 * VERIFIER_ROOT_UNKNOWN: no trusted certificate or CRL answers to a name, or several do.
 * VERIFIER_ROOT_IN_USE: nodes rely on the certificate that was to be removed.
 * VERIFIER_LISTEN_FAILED: the address cannot be listened on.
 */
export type VerifierErrorCode =
  | 'VERIFIER_CONFIG_UNREADABLE'
  | 'VERIFIER_CONFIG_INVALID'
  | 'VERIFIER_KEY_INVALID'
  | 'VERIFIER_KEY_EXPOSED'
  | 'VERIFIER_ROOTS_INVALID'
  | 'VERIFIER_ROOT_UNKNOWN'
  | 'VERIFIER_ROOT_IN_USE'
  | 'VERIFIER_LISTEN_FAILED'
export class VerifierError extends CodedError<VerifierErrorCode> {}
