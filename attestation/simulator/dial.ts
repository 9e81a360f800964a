import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import { messageOf } from '../base/index.ts'
import { MAX_FRAME_BYTES, SUBPROTOCOL, TLS_EXPORTER_BYTES, TLS_EXPORTER_LABEL } from '../protocol/index.ts'
import { SimulatorError } from './errors.ts'

/** TCP, TLS and the upgrade together: in a storm a handshake waits its turn. */
const DIAL_TIMEOUT_MS = 30_000

/** Where the verifier is, and by what it is recognised. */
export interface VerifierAddress {
  readonly host: string
  readonly port: number
  readonly tlsSpkiSha256: readonly string[]
}

export interface Dialed {
  readonly ws: WebSocket
  readonly exporter: Uint8Array
}

/**
 * Connects by TLS 1.3, compares the pin, and upgrades to the agents' websocket. The websocket is paused.
 *
 * @throws SimulatorError SIMULATE_UNREACHABLE, SIMULATE_TLS_UNTRUSTED
 */
export function dial(address: VerifierAddress, stop: AbortSignal): Promise<Dialed> {
  const { host, port } = address
  return new Promise((resolve, reject) => {
    if (stop.aborted) return reject(new SimulatorError('SIMULATE_UNREACHABLE', 'the simulation is over'))
    const socket = connect({
      ...{ host, port, ALPNProtocols: ['http/1.1'], secureContext: sharedContext() },
      ...(isIP(host) === 0 && { servername: host }),
      rejectUnauthorized: false, // the key itself is what is known, and it is checked below
    })
    const timer = setTimeout(() => fail(`no connection within ${DIAL_TIMEOUT_MS / 1000} s`), DIAL_TIMEOUT_MS)
    const fail = (why: string, code: 'SIMULATE_UNREACHABLE' | 'SIMULATE_TLS_UNTRUSTED' = 'SIMULATE_UNREACHABLE') => {
      clearTimeout(timer)
      stop.removeEventListener('abort', onStop)
      socket.destroy()
      reject(new SimulatorError(code, `${host} port ${port}: ${why}`))
    }
    const onStop = () => fail('the simulation is over')
    stop.addEventListener('abort', onStop, { once: true })
    socket.once('error', (err) => fail(messageOf(err)))
    socket.once('close', () => fail('the connection was ended before there was a websocket'))
    socket.once('secureConnect', () => {
      const spki = peerKey(socket)
      if (!address.tlsSpkiSha256.includes(spki)) {
        fail(`shows the key ${spki || 'of no certificate'}, which is not in trust.json`, 'SIMULATE_TLS_UNTRUSTED')
        return
      }
      const ws = upgrade(address, socket)
      ws.once('error', (err) => fail(`does not upgrade to ${SUBPROTOCOL}: ${messageOf(err)}`))
      ws.once('open', () => {
        clearTimeout(timer)
        stop.removeEventListener('abort', onStop)
        ws.removeAllListeners('error')
        ws.pause() // nothing that comes at once is lost before somebody listens
        const exporter = socket.exportKeyingMaterial(TLS_EXPORTER_BYTES, TLS_EXPORTER_LABEL, Buffer.alloc(0))
        resolve({ ws, exporter: new Uint8Array(exporter) })
      })
    })
  })
}

/** One for all connections: it is most of what a TLS connection costs in memory otherwise. */
function sharedContext(): SecureContext {
  context ??= createSecureContext({ minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' })
  return context
}
let context: SecureContext | undefined

/** @returns SHA-256 of the SPKI of the peer's certificate, hex; empty without one */
function peerKey(socket: TLSSocket): string {
  const key = socket.getPeerX509Certificate()?.publicKey.export({ type: 'spki', format: 'der' })
  return key === undefined ? '' : createHash('sha256').update(key).digest('hex')
}

function upgrade({ host, port }: VerifierAddress, socket: TLSSocket): WebSocket {
  const name = isIP(host) === 6 ? `[${host}]` : host
  return new WebSocket(`wss://${name}:${port}/v1/agent`, [SUBPROTOCOL], {
    createConnection: () => socket,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
    followRedirects: false,
  })
}
