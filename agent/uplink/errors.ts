import { CodedError } from '../../attestation/base/index.ts'
import type { SessionFailure } from '../enrolment.ts'

/**
 * UPLINK_UNREACHABLE: no connection to the verifier, and none in the making.
 * UPLINK_TLS_UNTRUSTED: the other end has not the pinned key, or no certificate of the configured CA.
 * UPLINK_TLS_FAILED: the TLS handshake failed.
 * UPLINK_PROTOCOL: what answers at the address does not speak the protocol.
 * UPLINK_BAD_MESSAGE: a frame that is no message.
 * UPLINK_TIMEOUT: the verifier did not answer within the deadline.
 * UPLINK_CLOSED: the connection ended before the answer came.
 * UPLINK_PENDING: an operator has not admitted this node yet.
 * UPLINK_STOPPING: the agent is stopping.
 */
export type UplinkErrorCode =
  | SessionFailure
  | 'UPLINK_UNREACHABLE'
  | 'UPLINK_TLS_UNTRUSTED'
  | 'UPLINK_TLS_FAILED'
  | 'UPLINK_PROTOCOL'
  | 'UPLINK_BAD_MESSAGE'
  | 'UPLINK_TIMEOUT'
  | 'UPLINK_CLOSED'
  | 'UPLINK_PENDING'
  | 'UPLINK_STOPPING'
export class UplinkError extends CodedError<UplinkErrorCode> {
  /** The verifier has said that it is of no use to come again sooner. */
  readonly retryAfterMs: number | undefined
  constructor(
    code: UplinkErrorCode,
    message: string,
    options?: { cause?: unknown; retryAfterMs?: number | undefined },
  ) {
    super(code, message, options)
    this.retryAfterMs = options?.retryAfterMs
  }
}
