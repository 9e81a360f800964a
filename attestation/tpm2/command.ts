import { MAX_DIGEST_BYTES, TPM_ST_NO_SESSIONS, TPM_ST_SESSIONS } from './constants.ts'
import { hex, limitInput, WireReader, WireWriter } from './wire.ts'

/** TPM2_MAX_RESPONSE_SIZE of tpm2-tss: above what a TPM's buffers hold. */
const MAX_RESPONSE_BYTES = 4096
const HEADER_BYTES = 10

/** A handle of a command and the Name of what is there: a handle can be given to something else, a Name cannot. */
export interface NamedHandle {
  readonly handle: number
  readonly name: Uint8Array
}

/** A command before a session protects it. */
export interface TpmCommand {
  /** TPM_CC. */
  readonly code: number
  readonly handles: readonly NamedHandle[]
  /** The parameter area, without handles. */
  readonly parameters: Uint8Array
}

/** TPMS_AUTH_COMMAND. Source: TPM 2.0 Part 2 r1.59 §10.13.2. */
export interface CommandAuthorization {
  readonly session: number
  readonly nonce: Uint8Array
  /** TPMA_SESSION. */
  readonly attributes: number
  readonly hmac: Uint8Array
}

/** TPMS_AUTH_RESPONSE. Source: TPM 2.0 Part 2 r1.59 §10.13.3. */
export type ResponseAuthorization = Omit<CommandAuthorization, 'session'>

/** A refusal: the TPM did nothing and says why. Nobody signs it, so anybody on the way may have said it. */
export interface Refusal {
  readonly ok: false
  /** TPM_RC, not 0. */
  readonly rc: number
}

/** The answer to a command in one session, which gives no handle. */
export interface SessionResponse {
  readonly ok: true
  readonly parameters: Uint8Array
  readonly authorization: ResponseAuthorization
}

/**
 * A command as the TPM takes it, with one session or none.
 * Source: TPM 2.0 Part 1 r1.59 §18 (command and response structure).
 */
export function encodeCommand(command: TpmCommand, authorization?: CommandAuthorization): Uint8Array {
  const { code, handles, parameters } = command
  const areaBytes = authorization === undefined ? 0 : 9 + authorization.nonce.length + authorization.hmac.length
  const w = new WireWriter().u16(authorization === undefined ? TPM_ST_NO_SESSIONS : TPM_ST_SESSIONS)
  w.u32(HEADER_BYTES + 4 * handles.length + (areaBytes === 0 ? 0 : 4 + areaBytes) + parameters.length).u32(code)
  for (const { handle } of handles) w.u32(handle)
  if (authorization !== undefined) {
    const { session, nonce, attributes, hmac } = authorization
    w.u32(areaBytes).u32(session).tpm2b(nonce).u8(attributes).tpm2b(hmac)
  }
  return w.bytes(parameters).finish()
}

/**
 * The answer to a command without a session.
 *
 * @returns `body`: handle area and parameters
 * @throws WireError
 */
export function decodePlainResponse(bytes: Uint8Array): Refusal | { readonly ok: true; readonly body: Uint8Array } {
  const r = responseReader(bytes)
  const rc = readHeader(r, bytes.length, TPM_ST_NO_SESSIONS)
  return rc === 0 ? { ok: true, body: r.rest('parameters', MAX_RESPONSE_BYTES) } : { ok: false, rc }
}

/**
 * The answer to a command in one session; success without a session's answer is refused. What it says is a claim until
 * openResponse() has seen its HMAC.
 *
 * @throws WireError
 */
export function decodeSessionResponse(bytes: Uint8Array): Refusal | SessionResponse {
  const r = responseReader(bytes)
  const rc = readHeader(r, bytes.length, TPM_ST_SESSIONS)
  if (rc !== 0) return { ok: false, rc }
  const parameters = r.bytes('parameters', r.count('parameterSize', MAX_RESPONSE_BYTES))
  const authorization = {
    nonce: r.tpm2b('nonceTPM', MAX_DIGEST_BYTES),
    attributes: r.u8('sessionAttributes'),
    hmac: r.tpm2b('hmac', MAX_DIGEST_BYTES),
  }
  r.end()
  return { ok: true, parameters, authorization }
}

function responseReader(bytes: Uint8Array): WireReader {
  limitInput(bytes, 'response', MAX_RESPONSE_BYTES)
  return new WireReader(bytes, 'response')
}

/** @returns the response code; with one that is not 0 the response ends, and its tag is always that without sessions */
function readHeader(r: WireReader, sizeBytes: number, tagOfSuccess: number): number {
  const tag = r.u16('tag')
  const size = r.u32('responseSize')
  const rc = r.u32('responseCode')
  if (size !== sizeBytes) throw r.badValue('responseSize', 8, `${size} in a response of ${sizeBytes} bytes`)
  const wanted = rc === 0 ? tagOfSuccess : TPM_ST_NO_SESSIONS
  if (tag !== wanted) throw r.badValue('tag', HEADER_BYTES, `got ${hex(tag, 4)}, wanted ${hex(wanted, 4)}`)
  if (rc !== 0) r.end()
  return rc
}
