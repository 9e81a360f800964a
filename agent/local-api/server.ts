import { chmod, chown, lstat, mkdir, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { dirname } from 'node:path'
import type { Logger } from 'pino'
import { codeOf, fromHex, messageOf } from '../../attestation/base/index.ts'
import { decodeCelRecord, toCelJson } from '../../attestation/event-log/index.ts'
import { descriptorOf, type PeerCredentials, peerCredentials } from '../../native/process/index.ts'
import { describeFailure } from '../hints.ts'
import type { LogView } from '../launch-log/index.ts'
import type { AgentStatus, LaunchAllowed, LaunchDenied } from './api.ts'
import { ApiError } from './errors.ts'
import { isServed } from './served-socket.ts'

/** A launch request is at most 1 MiB; JSON that is not canonical may be a little longer. */
const MAX_BODY_BYTES = 2 << 20
/** Of a request, not of its answer: a launch waits for its verifier. */
const REQUEST_TIMEOUT_MS = 10_000
const MAX_CONNECTIONS = 512
/** A record is at most this long, so a piece of the log of this length holds a whole one. */
const LOG_PIECE_BYTES = 2 << 20

export interface LocalApiOptions {
  readonly socketPath: string
  /** Group that may use the socket (0660); absent: root alone (0600). */
  readonly gid?: number
  readonly status: () => AgentStatus
  readonly log: () => LogView
  readonly launch: (body: unknown) => Promise<LaunchAllowed | LaunchDenied>
  /** Who asks is the kernel's word. */
  readonly enter: (body: unknown, by: PeerCredentials) => Promise<LaunchAllowed | LaunchDenied>
  /** Bytes of an evidence file whose quote is over this nonce. */
  readonly evidence: (nonce: Uint8Array) => Promise<Uint8Array>
  readonly logger: Logger
}

/** Serves stage0 and curious operators over a unix socket. */
export class LocalApi {
  readonly #options: LocalApiOptions
  readonly #server: Server

  private constructor(options: LocalApiOptions) {
    this.#options = options
    this.#server = createServer({ maxHeaderSize: 8 << 10, requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: 5000 })
    this.#server.headersTimeout = REQUEST_TIMEOUT_MS
    this.#server.maxConnections = MAX_CONNECTIONS
    this.#server.on('request', (request, response) => void this.#serve(request, response))
    this.#server.on('error', (err) => options.logger.error({ err }, 'local API'))
  }

  /**
   * Listens. The socket of an agent that is gone is replaced, that of a living one is left alone.
   * @throws ApiError API_SOCKET_IN_USE, API_SOCKET_FAILED
   */
  static async listen(options: LocalApiOptions): Promise<LocalApi> {
    const api = new LocalApi(options)
    const { socketPath, gid } = options
    try {
      await mkdir(dirname(socketPath), { recursive: true, mode: 0o755 })
      await refuseServedSocket(socketPath)
      await removeStale(socketPath)
      const mask = process.umask(0o177) // 0600 from the first moment on
      try {
        await new Promise<void>((resolve, reject) => {
          api.#server.once('error', reject)
          api.#server.listen(socketPath, () => {
            api.#server.removeListener('error', reject)
            resolve()
          })
        })
      } finally {
        process.umask(mask)
      }
      if (gid !== undefined) {
        await chown(socketPath, -1, gid)
        await chmod(socketPath, 0o660)
      }
      return api
    } catch (cause) {
      api.#server.close()
      if (cause instanceof ApiError) throw cause
      throw new ApiError('API_SOCKET_FAILED', `${socketPath}: ${messageOf(cause)}`, { cause })
    }
  }

  /** Takes no more requests, lets those in hand finish. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeIdleConnections()
    })
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response)
    } catch (err) {
      if (response.headersSent) {
        response.destroy()
        return
      }
      const failure = describeFailure(err)
      if (failure.code === 'INTERNAL') this.#options.logger.error({ err }, 'internal error in the local API')
      sendJson(response, httpStatus(failure.code), failure)
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://localhost')
    switch (url.pathname) {
      case '/v1/status':
        expectMethod(request, response, 'GET')
        return sendJson(response, 200, this.#options.status())
      case '/v1/log':
        expectMethod(request, response, 'GET')
        return sendLog(response, this.#options.log(), url.searchParams.get('format') ?? 'json')
      case '/v1/launches': {
        expectMethod(request, response, 'POST')
        mayLaunch(peerCredentials(descriptorOf(request.socket)))
        const decision = await this.#options.launch(await readJson(request))
        return sendJson(response, decision.decision === 'allowed' ? 200 : 403, decision)
      }
      case '/v1/enters': {
        expectMethod(request, response, 'POST')
        const by = mayLaunch(peerCredentials(descriptorOf(request.socket)))
        const decision = await this.#options.enter(await readJson(request), by)
        return sendJson(response, decision.decision === 'allowed' ? 200 : 403, decision)
      }
      case '/v1/evidence': {
        expectMethod(request, response, 'POST')
        const bytes = await this.#options.evidence(readNonce(await readJson(request)))
        response.writeHead(200, { 'content-type': 'application/cbor', 'content-length': bytes.length })
        response.end(bytes)
        return
      }
      default:
        throw new ApiError('API_NOT_FOUND', `there is no ${url.pathname.slice(0, 100)}`)
    }
  }
}

/**
 * Pods are started and entered by root; who may look may use the socket as well, and would have the log say that
 * something was started that never was. The agent's own user owns the log anyway.
 */
function mayLaunch(by: PeerCredentials): PeerCredentials {
  if (by.uid === 0 || by.uid === process.geteuid?.()) return by
  throw new ApiError('API_NOT_ALLOWED', `user ${by.uid} may look here; launches are asked for by root`)
}

function expectMethod(request: IncomingMessage, response: ServerResponse, method: string): void {
  if (request.method === method) return
  response.setHeader('allow', method)
  throw new ApiError('API_METHOD', `${request.method} is not possible here, ${method} is`)
}

/** Statuses other than 200 and 403; everything that is not the caller's mistake closes towards refusal with 503. */
function httpStatus(code: string): number {
  switch (code) {
    case 'API_NOT_FOUND':
      return 404
    case 'API_METHOD':
      return 405
    case 'API_NOT_ALLOWED':
      return 401
    case 'API_BODY_TOO_LARGE':
    case 'LAUNCH_REQUEST_TOO_LARGE':
      return 413
    case 'API_BODY_NOT_JSON':
    case 'API_NONCE':
    case 'LAUNCH_BODY_INVALID':
    case 'LAUNCH_REQUEST_INVALID':
      return 400
    case 'LAUNCH_REPEATED':
    case 'ENTER_NOT_RUNNING':
      return 409
    case 'INTERNAL':
      return 500
    default:
      return 503
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length
    if (size > MAX_BODY_BYTES) throw new ApiError('API_BODY_TOO_LARGE', `a body has at most ${MAX_BODY_BYTES} bytes`)
    parts.push(part)
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts)))
  } catch (cause) {
    throw new ApiError('API_BODY_NOT_JSON', `the body is not UTF-8 JSON: ${messageOf(cause)}`, { cause })
  }
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

const MAX_NONCE_BYTES = 64

/** Body of POST /v1/evidence. */
function readNonce(body: unknown): Uint8Array {
  const nonce = typeof body === 'object' && body !== null && 'nonce' in body ? body.nonce : undefined
  if (typeof nonce === 'string' && /^([0-9a-f]{2}){16,64}$/.test(nonce)) return fromHex(nonce)
  throw new ApiError('API_NONCE', `the body wants {"nonce": 16 to ${MAX_NONCE_BYTES} bytes in lowercase hex}`)
}

/** The log in pieces: it may be long, and is never whole in memory. */
async function sendLog(response: ServerResponse, log: LogView, format: string): Promise<void> {
  if (format !== 'tlv' && format !== 'json') {
    throw new ApiError('API_NOT_FOUND', `there is no format '${format.slice(0, 20)}'; json and tlv there are`)
  }
  response.writeHead(200, { 'content-type': format === 'tlv' ? 'application/octet-stream' : 'application/json' })
  let separator = '['
  for (let offset = 0; offset < log.size; ) {
    const piece = await log.read(offset, Math.min(LOG_PIECE_BYTES, log.size - offset))
    const whole = offset + piece.length === log.size
    if (format === 'tlv') {
      await write(response, piece)
      offset += piece.length
      continue
    }
    let at = 0
    while (at < piece.length) {
      // A record cut by the end of the piece is read with the next one.
      if (!whole && piece.length - at < LOG_PIECE_BYTES / 2) break
      const { record, end } = decodeCelRecord(piece, at, offset)
      await write(response, `${separator}\n${JSON.stringify(toCelJson(record))}`)
      separator = ','
      at = end
    }
    offset += at
  }
  response.end(format === 'tlv' ? undefined : `${log.size === 0 ? '[' : ''}\n]\n`)
}

async function write(response: ServerResponse, chunk: string | Uint8Array): Promise<void> {
  if (response.write(chunk) || response.destroyed) return
  await new Promise<void>((resolve) => {
    const done = () => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.on('drain', done)
    response.on('close', done)
  })
}

/** Only a socket is removed: whatever else is there was put there by somebody who may want it. */
async function removeStale(socketPath: string): Promise<void> {
  const found = await lstat(socketPath).catch((err: unknown) => {
    if (codeOf(err) === 'ENOENT') return undefined
    throw err
  })
  if (found === undefined) return
  if (!found.isSocket()) throw new ApiError('API_SOCKET_FAILED', `${socketPath} exists and is no socket`)
  await rm(socketPath)
}

/**
 * For before anything is measured as well: a second agent would extend the register of the first, whose log is void from then on.
 * @throws ApiError API_SOCKET_IN_USE when somebody listens there, API_SOCKET_FAILED when that cannot be found out
 */
export async function refuseServedSocket(socketPath: string): Promise<void> {
  const served = await isServed(socketPath).catch((cause: unknown) => {
    throw new ApiError('API_SOCKET_FAILED', `${socketPath}: ${messageOf(cause)}`, { cause })
  })
  if (served) throw new ApiError('API_SOCKET_IN_USE', `somebody listens on ${socketPath} already`)
}
