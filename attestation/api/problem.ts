import { CodedError } from '../base/index.ts'

/** Every kind of refusal, with its status and title. Codes are stable; they are the last part of a problem's type. */
const KINDS = {
  MALFORMED_REQUEST: [400, 'The request cannot be read'],
  INVALID_PARAMETER: [400, 'A parameter does not fit'],
  UNAUTHENTICATED: [401, 'A valid token is needed'],
  FORBIDDEN: [403, 'This token may not do that'],
  NOT_FOUND: [404, 'There is no such thing'],
  METHOD_NOT_ALLOWED: [405, 'This cannot be done here'],
  REQUEST_TIMEOUT: [408, 'The request took too long to arrive'],
  CONFLICT: [409, 'The state of things does not allow that'],
  TOO_LARGE: [413, 'The body is too large'],
  URI_TOO_LONG: [414, 'The address is too long'],
  UNSUPPORTED_MEDIA_TYPE: [415, 'Bodies are application/json'],
  TOO_MANY_REQUESTS: [429, 'Too many requests'],
  HEADERS_TOO_LARGE: [431, 'The headers are too large'],
  INTERNAL: [500, 'The verifier has failed'],
  UNAVAILABLE: [503, 'The verifier cannot answer now'],
} as const satisfies Readonly<Record<string, readonly [status: number, title: string]>>

export type ApiErrorCode = keyof typeof KINDS

/** One part of the request that does not fit: a parameter by name, or a place in the body as JSON Pointer. */
export interface ProblemPart {
  readonly parameter?: string
  readonly header?: string
  readonly pointer?: string
  readonly detail: string
}

/** A refusal; its message is told to the client. */
export class ApiError extends CodedError<ApiErrorCode> {
  readonly parts: readonly ProblemPart[]
  /** Headers of the answer: Allow, Retry-After. */
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: ApiErrorCode,
    message: string,
    parts: readonly ProblemPart[] = [],
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(code, message)
    this.parts = parts
    this.headers = headers
  }
}

export const PROBLEM_TYPE = 'application/problem+json'

/** RFC 9457. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly instance?: string
  readonly errors?: readonly ProblemPart[]
}

/** @param requestId of the log's lines about this request */
export function problemOf(error: ApiError, requestId?: string): Problem {
  const [status, title] = KINDS[error.code]
  return {
    type: `urn:holdfast:problem:${error.code.toLowerCase().replaceAll('_', '-')}`,
    title,
    status,
    detail: error.message,
    ...(requestId !== undefined && { instance: `urn:uuid:${requestId}` }),
    ...(error.parts.length > 0 && { errors: error.parts }),
  }
}

/** What the HTTP library says by status, where it says it. */
export function errorOfStatus(status: number): ApiError {
  for (const [code, [known, title]] of Object.entries(KINDS)) {
    if (known === status) return new ApiError(code as ApiErrorCode, title) // a key of the table
  }
  return status >= 400 && status < 500
    ? new ApiError('MALFORMED_REQUEST', KINDS.MALFORMED_REQUEST[1])
    : new ApiError('INTERNAL', 'see the log of the verifier')
}
