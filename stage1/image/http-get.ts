import http from 'node:http'
import https from 'node:https'
import { performance } from 'node:perf_hooks'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { ImageError } from './errors.ts'

/** An answer whose body has not been read yet. The caller reads it to its end or destroys it. */
export interface HttpAnswer {
  readonly url: URL
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: http.IncomingMessage
  readonly patience: Patience
}

/** How slow a server may be. Whoever is slower is taken for one that wants to keep us waiting. */
export interface Patience {
  /** Silence of this length on a connection ends it, and so does a head that has not come by then. */
  readonly silenceMs: number
  /** In this much time spent waiting for a body ... */
  readonly windowMs: number
  /** ... at least this much of it has to come. */
  readonly windowBytes: number
}

/** Long enough for a slow disk behind a registry; 4 KiB a second, which is slower than any line images are fetched by. */
export const PATIENCE: Patience = { silenceMs: 60_000, windowMs: 60_000, windowBytes: 240 * 1024 }

/** How a connection is made and how long one waits for it. */
export interface HttpOptions {
  readonly headers: Readonly<Record<string, string>>
  readonly certificateAuthorities?: string
  readonly verifyCertificate: boolean
  readonly agents: { readonly http: http.Agent; readonly https: https.Agent }
  readonly patience?: Patience
  readonly signal?: AbortSignal
}

/**
 * One GET request; redirects are the caller's business.
 * @throws ImageError IMAGE_SOURCE_UNREACHABLE
 */
export function httpGet(url: URL, options: HttpOptions): Promise<HttpAnswer> {
  const patience = options.patience ?? PATIENCE
  return new Promise((resolve, reject) => {
    const secure = url.protocol === 'https:'
    const settings: https.RequestOptions = {
      headers: { 'user-agent': 'holdfast', 'accept-encoding': 'identity', ...options.headers },
      agent: secure ? options.agents.https : options.agents.http,
      timeout: patience.silenceMs,
      ...(options.signal && { signal: options.signal }),
      ...(secure && { rejectUnauthorized: options.verifyCertificate }),
      ...(secure && options.certificateAuthorities && { ca: options.certificateAuthorities }),
    }
    const request = (secure ? https : http).request(url, settings, (body) => {
      clearTimeout(head)
      resolve({ url, status: body.statusCode ?? 0, headers: body.headers, body, patience })
    })
    // the time-out above starts anew with every byte, so a head could be sent a byte at a time
    const silent = (): void => void request.destroy(new Error(`nothing came for ${patience.silenceMs / 1000} s`))
    const head = setTimeout(silent, patience.silenceMs)
    request.on('timeout', silent)
    request.on('error', (cause) => reject(unreachable(url, cause)))
    request.on('close', () => clearTimeout(head))
    request.end()
  })
}

/**
 * Reads a body into memory.
 * @throws ImageError IMAGE_TOO_LARGE as soon as a byte too many comes, IMAGE_SOURCE_UNREACHABLE when the connection
 * breaks
 */
export async function readBody(answer: HttpAnswer, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of streamBody(answer)) {
    bytes += part.length
    if (bytes > maxBytes)
      throw new ImageError('IMAGE_TOO_LARGE', `${shownUrl(answer.url)} sends more than ${maxBytes} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts, bytes)
}

/** The body in pieces; a connection that breaks or crawls is an error, not an end. */
export async function* streamBody(answer: HttpAnswer): AsyncGenerator<Buffer> {
  const { windowMs, windowBytes } = answer.patience
  let waitedMs = 0
  let bytes = 0
  let asked = performance.now()
  try {
    for await (const part of answer.body) {
      const piece = part as Buffer // no encoding is set
      bytes += piece.length
      waitedMs += performance.now() - asked
      if (waitedMs > windowMs) {
        if (bytes < windowBytes) throw new Error(`only ${bytes} bytes came in ${Math.round(waitedMs / 1000)} s`)
        waitedMs = 0
        bytes = 0
      }
      yield piece
      asked = performance.now() // what the reader takes is not the server's time
    }
  } catch (cause) {
    if (cause instanceof ImageError) throw cause
    throw unreachable(answer.url, cause)
  } finally {
    answer.body.destroy()
  }
}

/** Which part of how much an answer of status 206 is (RFC 9110, 14.4): another than was asked for, perhaps. */
export function rangeOf(answer: HttpAnswer): { readonly start: number; readonly totalBytes?: number } | undefined {
  const range = /^bytes ([0-9]{1,15})-[0-9]{1,15}\/(?:([0-9]{1,15})|\*)$/.exec(answer.headers['content-range'] ?? '')
  if (range === null) return undefined
  return { start: Number(range[1]), ...(range[2] !== undefined && { totalBytes: Number(range[2]) }) }
}

/** A URL for messages, without the query, which often is a credential. */
export function shownUrl(url: URL): string {
  return `${url.origin}${url.pathname}`.slice(0, 300)
}

function unreachable(url: URL, cause: unknown): ImageError {
  const certificate = /^(ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(codeOf(cause) ?? '')
  const plain = codeOf(cause) === 'ERR_SSL_WRONG_VERSION_NUMBER' || /wrong version number/.test(messageOf(cause))
  const hint = certificate
    ? '; add its certificate authority to the trusted ones'
    : plain
      ? '; it seems to speak plain HTTP, which --insecure-options=http would allow'
      : ''
  const why = plain ? 'no TLS answer' : messageOf(cause) // OpenSSL's own text has its source line in it and a line feed
  return new ImageError('IMAGE_SOURCE_UNREACHABLE', `${shownUrl(url)}: ${why}${hint}`, { cause })
}
