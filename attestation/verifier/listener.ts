import type { IncomingMessage } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import type { Logger } from 'pino'
import { WebSocketServer } from 'ws'
import { messageOf } from '../base/index.ts'
import { MAX_FRAME_BYTES, SUBPROTOCOL } from '../protocol/index.ts'
import { VerifierError } from './config/index.ts'
import { Connection } from './connection.ts'
import { KeyedRateLimit } from './rate-limit.ts'

export const AGENT_PATH = '/v1/agent'
/** For the TLS handshake, and again for the request line and headers. */
const HANDSHAKE_TIMEOUT_MS = 10_000
const MAX_HEADER_BYTES = 8 << 10

export interface ListenerOptions {
  readonly host: string
  readonly port: number
  /** PEM, chain included. */
  readonly certificate: string
  readonly key: string
  readonly connections: number
  readonly connectionsPerAddressPerSecond: number
  readonly messagesPerSecond: number
  /** Whether the service is in order, for /healthz. */
  readonly healthy: () => boolean
  /** Whether more agents should come, for /readyz. */
  readonly ready: () => boolean
  readonly onConnection: (connection: Connection, log: Logger) => void
}

/** The listening socket: TLS 1.3, `GET /healthz` and `/readyz`, and the websocket of the agents; everything else is refused. */
export class Listener {
  readonly #server: Server
  readonly #options: ListenerOptions
  readonly #log: Logger
  readonly #addresses: KeyedRateLimit
  readonly #sockets = new Set<TLSSocket>()
  readonly #webSockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
    clientTracking: false,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  })

  constructor(options: ListenerOptions, log: Logger) {
    this.#options = options
    this.#log = log
    this.#addresses = new KeyedRateLimit(
      options.connectionsPerAddressPerSecond,
      5 * options.connectionsPerAddressPerSecond,
    )
    this.#server = createServer({
      cert: options.certificate,
      key: options.key,
      minVersion: 'TLSv1.3',
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
    })
    this.#server.headersTimeout = HANDSHAKE_TIMEOUT_MS
    this.#server.requestTimeout = HANDSHAKE_TIMEOUT_MS
    this.#server.maxConnections = options.connections
    const checks = new Map([
      ['/healthz', options.healthy],
      ['/readyz', options.ready],
    ])
    this.#server.on('request', (request, response) => {
      const check = request.method === 'GET' ? checks.get(request.url ?? '') : undefined
      const status = check === undefined ? 404 : check() ? 200 : 503
      response.writeHead(status, { 'content-type': 'application/json' })
      const body = check === undefined ? { code: 'NOT_FOUND' } : { status: status === 200 ? 'ok' : 'failing' }
      response.end(JSON.stringify(body))
    })
    this.#server.on('secureConnection', (socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    this.#server.on('tlsClientError', (err, socket) => {
      log.debug({ err, remote: socket.remoteAddress }, 'TLS handshake failed')
    })
    this.#server.on('drop', (drop) => {
      log.warn({ code: 'SESSION_TOO_MANY_CONNECTIONS', remote: drop?.remoteAddress }, 'connection limit reached')
    })
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
  }

  /** @throws VerifierError VERIFIER_LISTEN_FAILED */
  async listen(): Promise<AddressInfo> {
    const { host, port } = this.#options
    return await new Promise((resolve, reject) => {
      this.#server.once('error', (cause) =>
        reject(
          new VerifierError('VERIFIER_LISTEN_FAILED', `cannot listen on ${host} port ${port}: ${messageOf(cause)}`, {
            cause,
          }),
        ),
      )
      this.#server.listen(port, host, () => {
        const address = this.#server.address()
        if (address === null || typeof address === 'string') reject(new TypeError('a TCP listener has an address'))
        else resolve(address)
      })
    })
  }

  /** Refuses newcomers at once; resolves when the last connection has ended, at the latest after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeIdleConnections()
      setTimeout(() => {
        for (const socket of this.#sockets) socket.destroy()
      }, graceMs).unref()
    })
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', (err) => this.#log.debug({ err }, 'connection failed before its websocket'))
    const remote = request.socket.remoteAddress ?? ''
    const refusal = this.#refusal(request, remote)
    if (refusal !== undefined || !(socket instanceof TLSSocket)) {
      this.#log.info({ code: refusal?.code, remote }, 'websocket refused')
      socket.end(`HTTP/1.1 ${refusal?.status ?? '400 Bad Request'}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
      return
    }
    this.#webSockets.handleUpgrade(request, socket, head, (ws) => {
      const log = this.#log.child({ remote: `${remote}:${request.socket.remotePort}` })
      this.#options.onConnection(new Connection(ws, socket, this.#options, log), log)
    })
  }

  #refusal(request: IncomingMessage, remote: string): { readonly status: string; readonly code: string } | undefined {
    if (request.url !== AGENT_PATH) return { status: '404 Not Found', code: 'NOT_FOUND' }
    const offered = request.headers['sec-websocket-protocol']?.split(',').map((p) => p.trim()) ?? []
    if (!offered.includes(SUBPROTOCOL)) return { status: '400 Bad Request', code: 'SUBPROTOCOL_MISSING' }
    if (this.#addresses.take(remote, performance.now())) return undefined
    return { status: '429 Too Many Requests', code: 'SESSION_TOO_MANY_CONNECTIONS' }
  }
}
