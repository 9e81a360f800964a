import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import {
  MAX_FRAME_BYTES,
  SUBPROTOCOL,
  TLS_EXPORTER_BYTES,
  TLS_EXPORTER_LABEL,
} from '../../attestation/protocol/index.ts'
import type { TrustedVerifier } from '../config/index.ts'
import { UplinkError } from './errors.ts'

/** TCP, TLS and the upgrade together. */
const DIAL_TIMEOUT_MS = 10_000

/** A websocket to a verifier whose certificate has been checked; it is paused. */
export interface DialedVerifier {
  readonly ws: WebSocket
  /** RFC 9266 channel binding of this TLS connection, 32 bytes. */
  readonly exporter: Uint8Array
}

/**
 * Connects by TLS 1.3, checks pin and CA before a single byte is sent over it, then upgrades to the websocket.
 *
 * @throws UplinkError UPLINK_UNREACHABLE, UPLINK_TLS_UNTRUSTED, UPLINK_TLS_FAILED, UPLINK_PROTOCOL, UPLINK_TIMEOUT
 */
export async function dialVerifier(trust: TrustedVerifier, signal: AbortSignal): Promise<DialedVerifier> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)])
  const socket = await connectTls(trust, limit)
  try {
    const ws = await upgrade(trust.url, socket, limit)
    const exporter = socket.exportKeyingMaterial(TLS_EXPORTER_BYTES, TLS_EXPORTER_LABEL, Buffer.alloc(0))
    return { ws, exporter: new Uint8Array(exporter) }
  } catch (err) {
    socket.destroy()
    throw err
  }
}

function connectTls(trust: TrustedVerifier, limit: AbortSignal): Promise<TLSSocket> {
  const url = new URL(trust.url)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const pinned = trust.tlsSpkiSha256.length > 0
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port: Number(url.port || 443),
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      ALPNProtocols: ['http/1.1'],
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(trust.ca === undefined ? {} : { ca: trust.ca }),
      // With pins alone there is no chain to check: the key itself is what is known, and it is checked below.
      rejectUnauthorized: trust.ca !== undefined || !pinned,
    })
    const fail = (err: UplinkError) => {
      limit.removeEventListener('abort', onAbort)
      socket.destroy()
      reject(err)
    }
    const onAbort = () => fail(timedOut(url.host))
    if (limit.aborted) return onAbort()
    limit.addEventListener('abort', onAbort, { once: true })
    socket.once('error', (cause) => fail(tlsError(url.host, cause)))
    socket.once('close', () => fail(new UplinkError('UPLINK_TLS_FAILED', `${url.host} ended the TLS handshake`)))
    socket.once('secureConnect', () => {
      const key = socket.getPeerX509Certificate()?.publicKey
      const spki =
        key &&
        createHash('sha256')
          .update(key.export({ type: 'spki', format: 'der' }))
          .digest('hex')
      if (pinned && (spki === undefined || !trust.tlsSpkiSha256.includes(spki))) {
        return fail(
          new UplinkError(
            'UPLINK_TLS_UNTRUSTED',
            `${url.host} shows a certificate with the key ${spki ?? 'none'}, pinned is ${trust.tlsSpkiSha256.join(', ')}`,
          ),
        )
      }
      limit.removeEventListener('abort', onAbort)
      socket.removeAllListeners('error')
      socket.removeAllListeners('close')
      resolve(socket)
    })
  })
}

function upgrade(url: string, socket: TLSSocket, limit: AbortSignal): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(url, [SUBPROTOCOL], {
      createConnection: () => socket,
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
      followRedirects: false,
      skipUTF8Validation: false,
    })
    const onAbort = () => ws.terminate()
    limit.addEventListener('abort', onAbort, { once: true })
    ws.once('error', (cause) => {
      limit.removeEventListener('abort', onAbort)
      reject(
        limit.aborted
          ? timedOut(new URL(url).host)
          : new UplinkError('UPLINK_PROTOCOL', `${url} does not upgrade to ${SUBPROTOCOL}: ${messageOf(cause)}`, {
              cause,
            }),
      )
    })
    ws.once('open', () => {
      limit.removeEventListener('abort', onAbort)
      ws.removeAllListeners('error')
      ws.pause() // nothing that comes at once may be lost before the session listens
      resolve(ws)
    })
  })
}

function timedOut(host: string): UplinkError {
  return new UplinkError('UPLINK_TIMEOUT', `no connection to ${host} within ${DIAL_TIMEOUT_MS / 1000} s`)
}

const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNRESET',
  'EADDRNOTAVAIL',
])
const UNTRUSTED = /^(CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_|INVALID_CA|HOSTNAME_MISMATCH|PATH_LENGTH)/

function tlsError(host: string, cause: unknown): UplinkError {
  const code = codeOf(cause) ?? ''
  const message = `${host}: ${messageOf(cause) || code}`
  if (UNREACHABLE.has(code)) return new UplinkError('UPLINK_UNREACHABLE', message, { cause })
  if (UNTRUSTED.test(code)) return new UplinkError('UPLINK_TLS_UNTRUSTED', message, { cause })
  return new UplinkError('UPLINK_TLS_FAILED', message, { cause })
}
