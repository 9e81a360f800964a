import { CodedError, concatBytes, utf8 } from '../../attestation/base/index.ts'

/**
 * What the stage0 server and native/stage0 say to each other over a unix stream socket (stage1/README.md). The server
 * begins:
 *
 *     server  hello | cold
 *     client  request
 *     server  output* error* (exit | cold | become)
 *     client  failed, when it cannot become the pod; else its end of the connection closes with its execve
 */
export const STAGE0_PROTOCOL = 1

/** Unless `--stage0` says otherwise; native/stage0 has the same. */
export const DEFAULT_STAGE0_SOCKET = '/run/holdfast/stage0.sock'

/** A longer command line is started cold. */
export const MAX_REQUEST_BYTES = 256 << 10

/** What a client sends instead of closing when its execve failed. */
export const CLIENT_FAILED = 0x66

/** Each frame: this byte, 32 bits little-endian with the length of what follows, and that. */
const FRAME_TYPES = {
  /** Text: protocol and the identity of the server's installation. */
  hello: 'h',
  /** Nothing was measured: the client starts Node itself. */
  cold: 'c',
  /** Bytes for the client's standard output or error. */
  output: 'o',
  error: 'e',
  /** One byte: the client's exit status. */
  exit: 'x',
  /** argv, each with a NUL at its end; descriptors come with it: the program, then those whose numbers follow argv. */
  become: 'b',
} as const

export type FrameType = keyof typeof FRAME_TYPES

export function frame(type: FrameType, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const head = new Uint8Array(5)
  head[0] = FRAME_TYPES[type].charCodeAt(0)
  new DataView(head.buffer).setUint32(1, payload.length, true)
  return concatBytes(head, payload)
}

export function becomePayload(argv: readonly string[]): Uint8Array {
  return concatBytes(...argv.map((text) => utf8(`${text}\0`)))
}

/** A `holdfast run` as the client was called. */
export interface RunRequest {
  /** Absolute. */
  readonly cwd: string
  readonly umask: number
  /** What follows `run`. */
  readonly args: readonly string[]
}

/**
 * STAGE0_SOCKET_IN_USE: another server listens there.
 * STAGE0_SOCKET_FAILED: the socket cannot be made, or others than root could use it.
 * STAGE0_REQUEST_BAD: not what a client of this version sends.
 */
export type Stage0ErrorCode = 'STAGE0_SOCKET_IN_USE' | 'STAGE0_SOCKET_FAILED' | 'STAGE0_REQUEST_BAD'
export class Stage0Error extends CodedError<Stage0ErrorCode> {}

/**
 * Reads a request: working directory, umask as four octal digits, and arguments, each ending with a NUL.
 *
 * @param payload what follows the length
 * @throws Stage0Error STAGE0_REQUEST_BAD, also for text that is not UTF-8, as Node would read it in its own way
 */
export function decodeRunRequest(payload: Uint8Array): RunRequest {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload)
  } catch {
    throw bad('the request is not UTF-8')
  }
  if (!text.endsWith('\0')) throw bad('the request does not end with a NUL')
  const [cwd, mask, ...args] = text.slice(0, -1).split('\0')
  if (cwd === undefined || !cwd.startsWith('/')) throw bad('the working directory is not absolute')
  if (mask === undefined || !/^0[0-7]{3}$/.test(mask)) throw bad('the umask is not four octal digits')
  return { cwd, umask: Number.parseInt(mask, 8), args }
}

function bad(what: string): Stage0Error {
  return new Stage0Error('STAGE0_REQUEST_BAD', what)
}
