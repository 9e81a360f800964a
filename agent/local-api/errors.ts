import { CodedError } from '../../attestation/base/index.ts'

/**
 * API_SOCKET_IN_USE: another process listens on the socket.
 * API_SOCKET_FAILED: the socket cannot be made.
 * API_NOT_FOUND, API_METHOD: no such resource, or not with this method.
 * API_NOT_ALLOWED: another user than root asks for a launch or an enter.
 * API_BODY_TOO_LARGE, API_BODY_NOT_JSON: a body that is not read.
 * API_NONCE: evidence is asked for without a nonce, or with one of another form.
 */
export type ApiErrorCode =
  | 'API_SOCKET_IN_USE'
  | 'API_SOCKET_FAILED'
  | 'API_NOT_FOUND'
  | 'API_METHOD'
  | 'API_NOT_ALLOWED'
  | 'API_BODY_TOO_LARGE'
  | 'API_BODY_NOT_JSON'
  | 'API_NONCE'
export class ApiError extends CodedError<ApiErrorCode> {}
