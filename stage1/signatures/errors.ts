import { CodedError } from '../../attestation/base/index.ts'

/**
 * Why nobody vouches for an image.
 *
 * - IMAGE_POLICY_BAD: the image policy, or a key it names, cannot be read or is malformed; the message has each path.
 * - IMAGE_POLICY_REFUSES: the policy admits no image of this name, signed or not.
 * - IMAGE_UNSIGNED: the policy asks for a signature and there is none.
 * - IMAGE_SIGNATURE_BAD: there are signatures, and none is what the policy asks for; the message says why for each.
 * - IMAGE_NOT_VOUCHED: neither root nor the user `holdfast` fetched it, and nobody else's word counts at a launch.
 * - IMAGE_RELAXED: a check was relaxed when the image was fetched, and it is not named now.
 * - TRUST_KEY_BAD: a file of the trust store, or one that is to be added to it, is not the one public key its name says.
 * - TRUST_STORE_FAILED: the trust store cannot be read or written.
 * - TRUST_DISCOVERY_FAILED: a name says nowhere where its images or keys are.
 * - SIGNATURE_TOOL_FAILED: gpgv is not installed, or ended in a way that says nothing about the signature.
 */
export type SignatureErrorCode =
  | 'IMAGE_POLICY_BAD'
  | 'IMAGE_POLICY_REFUSES'
  | 'IMAGE_UNSIGNED'
  | 'IMAGE_SIGNATURE_BAD'
  | 'IMAGE_NOT_VOUCHED'
  | 'IMAGE_RELAXED'
  | 'TRUST_KEY_BAD'
  | 'TRUST_STORE_FAILED'
  | 'TRUST_DISCOVERY_FAILED'
  | 'SIGNATURE_TOOL_FAILED'

/** An image that nobody vouches for, or a trust that cannot be read. */
export class SignatureError extends CodedError<SignatureErrorCode> {}
