import { createServer, type RequestListener, type Server, STATUS_CODES } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { codeOf } from '../base/index.ts'
import { type ApiError, errorOfStatus, PROBLEM_TYPE, problemOf } from './problem.ts'

const MAX_HEADER_BYTES = 8 << 10
const KEEP_ALIVE_MS = 30_000

export interface HttpOptions {
  /** PEM, chain included; without it HTTP in clear text. */
  readonly tls?: { readonly certificate: string; readonly key: string }
  readonly connections: number
  /** For the TLS handshake, for the headers and for a whole request, body included. */
  readonly requestMs: number
}

/** The socket's side of the API: TLS 1.3, and limits before anything is understood. */
export function makeHttpServer(handler: RequestListener, options: HttpOptions): Server {
  const { requestMs, tls } = options
  const common = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: requestMs,
    requestTimeout: requestMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: Math.min(requestMs, 1000), // Node looks each half minute by itself
  }
  const server =
    tls === undefined
      ? createServer(common, handler)
      : createTlsServer(
          { ...common, cert: tls.certificate, key: tls.key, minVersion: 'TLSv1.3', handshakeTimeout: requestMs },
          handler,
        )
  server.maxConnections = options.connections
  return server
}

/** Answers what could not be read as HTTP, as far as anybody listens. */
export function answerUnreadable(err: Error, socket: Socket): void {
  if (codeOf(err) === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const code = codeOf(err)
  const status = code === 'HPE_HEADER_OVERFLOW' ? 431 : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
  const error: ApiError = errorOfStatus(status)
  const body = JSON.stringify(problemOf(error))
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: ${PROBLEM_TYPE}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}
