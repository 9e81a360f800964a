import { CodedError } from '../base/index.ts'

/** What the verifier says to an agent before it closes a connection, beside the codes of the folders it uses. */
export type SessionErrorCode =
  /** A message that this state of the connection does not expect. */
  | 'SESSION_UNEXPECTED_MESSAGE'
  /** The next message did not come in time. */
  | 'SESSION_TIMEOUT'
  | 'SESSION_TOO_MANY_MESSAGES'
  | 'SESSION_TOO_MANY_CONNECTIONS'
  /** The node costs more than its share, whichever connection it comes by; it is told when to come again. */
  | 'NODE_OVER_BUDGET'
  /** The nonce was not given to this connection, was used before, or has expired. */
  | 'NONCE_UNKNOWN'
  /** The EK has no certificate that leads to a trusted root, and is not listed. */
  | 'EK_NOT_TRUSTED'
  /** EK, node and AK belong together; this hello would part them. */
  | 'AK_NOT_BOUND'
  | 'AK_OF_ANOTHER_NODE'
  | 'ACTIVATION_FAILED'
  | 'TOKEN_REFUSED'
  | 'NODE_REFUSED'
  | 'NODE_CHANGED'
  /** The register or the banks are not those of the node's earlier evidence. */
  | 'REGISTER_NOT_ALLOWED'
  | 'VERIFIER_STOPPING'
  | 'VERIFIER_BUSY'
  | 'INTERNAL'

/** Ends a connection; the agent is told the code and the message. */
export class SessionError extends CodedError {
  /** Whether the same may succeed later: decides between the close codes 1013 and 1008. */
  readonly retry: boolean
  /** Sooner than this it will not. */
  readonly retryAfterMs: number | undefined
  constructor(
    code: SessionErrorCode,
    message: string,
    options?: { cause?: unknown; retry?: boolean; retryAfterMs?: number },
  ) {
    super(code, message, options)
    this.retry = options?.retry ?? false
    this.retryAfterMs = options?.retryAfterMs
  }

  /** A refusal for what a peer sent, under the code of the folder that found it. */
  static from(err: CodedError): SessionError {
    return new SessionError(err.code as SessionErrorCode, err.message, { cause: err }) // codes of all folders are one space
  }
}
