import http from 'node:http'
import https from 'node:https'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { ImageError } from './errors.ts'

/** An answer whose body has not been read yet. The caller reads it to its end or destroys it. */
export interface HttpAnswer {
  readonly url: URL
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: http.IncomingMessage
}

/** How a connection is made and how long one waits for it. */
export interface HttpOptions {
  readonly headers: Readonly<Record<string, string>>
  readonly certificateAuthorities?: string
  readonly verifyCertificate: boolean
  readonly agents: { readonly http: http.Agent; readonly https: https.Agent }
  readonly signal?: AbortSignal
}

/** Silence of this length on a connection ends it: long enough for a slow disk behind a registry. */
const IDLE_MS = 60_000

/**
 * One GET request; redirects are the caller's business.
 * @throws ImageError IMAGE_SOURCE_UNREACHABLE
 */
export function httpGet(url: URL, options: HttpOptions): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const secure = url.protocol === 'https:'
    const settings: https.RequestOptions = {
      headers: { 'user-agent': 'holdfast', ...options.headers },
      agent: secure ? options.agents.https : options.agents.http,
      timeout: IDLE_MS,
      ...(options.signal && { signal: options.signal }),
      ...(secure && { rejectUnauthorized: options.verifyCertificate }),
      ...(secure && options.certificateAuthorities && { ca: options.certificateAuthorities }),
    }
    const request = (secure ? https : http).request(url, settings, (body) => {
      resolve({ url, status: body.statusCode ?? 0, headers: body.headers, body })
    })
    request.on('timeout', () => request.destroy(new Error(`nothing came for ${IDLE_MS / 1000} s`)))
    request.on('error', (cause) => reject(unreachable(url, cause)))
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

/** The body in pieces; a connection that breaks is an error, not an end. */
export async function* streamBody(answer: HttpAnswer): AsyncGenerator<Buffer> {
  try {
    for await (const part of answer.body) yield part as Buffer // no encoding is set
  } catch (cause) {
    if (cause instanceof ImageError) throw cause
    throw unreachable(answer.url, cause)
  } finally {
    answer.body.destroy()
  }
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
