import type { RawData, WebSocket } from 'ws'
import { messageOf } from '../../attestation/base/index.ts'
import { decodeVerifierMessage, type VerifierMessage } from '../../attestation/protocol/index.ts'
import type { DialedVerifier } from './dial.ts'
import { UplinkError } from './errors.ts'

/** A verifier that answers no ping for this long is gone, whatever TCP thinks. */
const HEARTBEAT_MS = 15_000
/** RFC 6455 §7.4.1. */
const CLOSE_NORMAL = 1000
const CLOSE_POLICY = 1008
/** A verifier that does not answer the closing handshake is cut off after this. */
const CLOSE_TIMEOUT_MS = 1000
/** Messages that may wait while one is looked at; an honest verifier has fewer than this on the way. */
const MAX_WAITING = 16

export interface ConnectionHandler {
  message(message: VerifierMessage): void
  /** Called once, with the reason. */
  ended(reason: UplinkError): void
}

/** One websocket: frames to messages, heartbeat, and one end with one reason. */
export class Connection {
  readonly exporter: Uint8Array
  readonly #ws: WebSocket
  readonly #handler: ConnectionHandler
  #alive = true
  #burst = 0
  #ended = false
  readonly #heartbeat: NodeJS.Timeout

  constructor({ ws, exporter }: DialedVerifier, handler: ConnectionHandler) {
    this.exporter = exporter
    this.#ws = ws
    this.#handler = handler
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS)
    ws.on('pong', () => {
      this.#alive = true
    })
    ws.on('message', (data, isBinary) => this.#received(data, isBinary))
    ws.on('error', (cause) => {
      this.end(
        new UplinkError('UPLINK_BAD_MESSAGE', `the verifier's frame was refused: ${messageOf(cause)}`, { cause }),
      )
    })
    ws.on('close', (code, reason) => {
      const why = reason.length > 0 ? `${code} ${reason.toString('utf8').slice(0, 123)}` : String(code)
      this.end(new UplinkError('UPLINK_CLOSED', `the verifier ended the connection (${why})`))
    })
    ws.resume()
  }

  get ended(): boolean {
    return this.#ended
  }

  /** @throws UplinkError UPLINK_CLOSED */
  send(frame: Uint8Array): void {
    if (this.#ended) throw new UplinkError('UPLINK_CLOSED', 'the connection to the verifier has ended')
    this.#ws.send(frame, { binary: true })
  }

  /** Ends the connection; the first reason counts. */
  end(reason: UplinkError): void {
    if (this.#ended) return
    this.#ended = true
    clearInterval(this.#heartbeat)
    this.#ws.close(reason.code === 'UPLINK_STOPPING' ? CLOSE_NORMAL : CLOSE_POLICY, reason.code)
    const cut = setTimeout(() => this.#ws.terminate(), CLOSE_TIMEOUT_MS)
    this.#ws.once('close', () => clearTimeout(cut))
    this.#handler.ended(reason)
  }

  #received(data: RawData, isBinary: boolean): void {
    if (this.#ended) return
    this.#alive = true
    if (++this.#burst === 1) setImmediate(() => this.#nextBurst())
    if (this.#burst > MAX_WAITING) {
      this.end(new UplinkError('UPLINK_BAD_MESSAGE', `more than ${MAX_WAITING} messages at once`))
      return
    }
    let message: VerifierMessage
    try {
      if (!isBinary) throw new TypeError('a text frame; this protocol has binary frames only')
      message = decodeVerifierMessage(bytesOf(data))
    } catch (cause) {
      this.end(new UplinkError('UPLINK_BAD_MESSAGE', `not a message of a verifier: ${messageOf(cause)}`, { cause }))
      return
    }
    this.#handler.message(message)
  }

  #nextBurst(): void {
    this.#burst = 0
  }

  #beat(): void {
    if (!this.#alive) {
      this.end(new UplinkError('UPLINK_TIMEOUT', `the verifier answered no ping for ${HEARTBEAT_MS / 1000} s`))
      this.#ws.terminate()
      return
    }
    this.#alive = false
    this.#ws.ping()
  }
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data)
  return data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.length)
}
