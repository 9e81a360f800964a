import { randomUUID } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { Logger } from 'pino'
import type { RawData, WebSocket } from 'ws'
import { CodedError, codeOf, messageOf } from '../base/index.ts'
import {
  type AgentMessage,
  decodeAgentMessage,
  encodeMessage,
  ProtocolError,
  TLS_EXPORTER_BYTES,
  TLS_EXPORTER_LABEL,
  type VerifierMessage,
} from '../protocol/index.ts'
import { SessionError } from './errors.ts'
import { RateLimit } from './rate-limit.ts'

/** RFC 6455 §7.4.1: policy violation; and the registered "try again later". */
const CLOSE_POLICY = 1008
const CLOSE_TRY_AGAIN = 1013
const CLOSE_NORMAL = 1000
/** A peer that does not answer the closing handshake is cut off after this. */
const CLOSE_TIMEOUT_MS = 2000
const HEARTBEAT_MS = 20_000
/** Frames that may wait while one is looked at. An honest agent has one message out at a time. */
const MAX_WAITING = 8
/** What a peer may send before it has proved which admitted node it is: hello with all certificates (87 KB), an activation, one quote with MAX_SESSION_LOG_BYTES. */
const MAX_STRANGER_BYTES = 256 << 10
/** Longest time that a peer is told to stay away. */
const MAX_RETRY_AFTER_MS = 3_600_000
/** What may wait to be sent to a peer that does not read. */
const MAX_UNSENT_BYTES = 1 << 20

/** What a connection does with messages; one at a time, in order. */
export interface ConnectionHandler {
  /** @param frame the bytes it was decoded from */
  message(message: AgentMessage, frame: Uint8Array): Promise<void>
  /** The connection is gone; called once. */
  closed(): void
}

/** One websocket to one agent: framing, limits, heartbeat, and an orderly end. */
export class Connection {
  /** RFC 9266 channel binding of this TLS connection. */
  readonly exporter: Uint8Array
  /** From now on the peer may send long logs: it has proved that it is a node that was admitted. */
  readonly proved: () => void
  readonly #ws: WebSocket
  readonly #log: Logger
  readonly #rate: RateLimit
  #strangerBytes = 0
  #waiting = 0
  #queue: Promise<void> = Promise.resolve()
  #handler: ConnectionHandler | undefined
  #ended = false
  #ending = false
  #alive = true
  readonly #heartbeat: NodeJS.Timeout

  constructor(ws: WebSocket, socket: TLSSocket, limits: { readonly messagesPerSecond: number }, log: Logger) {
    this.#ws = ws
    this.#log = log
    this.exporter = new Uint8Array(socket.exportKeyingMaterial(TLS_EXPORTER_BYTES, TLS_EXPORTER_LABEL, Buffer.alloc(0)))
    this.#rate = new RateLimit(limits.messagesPerSecond, 2 * limits.messagesPerSecond, performance.now())
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS)
    ws.on('pong', () => {
      this.#alive = true
    })
    ws.on('error', (err) => log.info({ err }, 'connection failed')) // ws closes by itself after an error
    ws.on('close', () => this.#gone())
    ws.on('message', (data, isBinary) => this.#received(data, isBinary))
    // ws collects a whole frame, which may carry megabytes of log, before anybody can look at it
    const count = (chunk: Buffer): void => {
      this.#strangerBytes += chunk.length
      if (this.#strangerBytes <= MAX_STRANGER_BYTES) return
      socket.off('data', count)
      log.info({ code: 'SESSION_TOO_MANY_MESSAGES' }, 'peer sends too much before it has proved itself; connection cut')
      ws.terminate()
    }
    socket.on('data', count)
    this.proved = () => void socket.off('data', count)
  }

  /** Starts to hand over messages. */
  serve(handler: ConnectionHandler): void {
    this.#handler = handler
  }

  get open(): boolean {
    return !this.#ended
  }

  /** Sends a message; to a connection that has ended, nothing. */
  send(message: VerifierMessage): void {
    if (this.#ended) return
    if (this.#ws.bufferedAmount > MAX_UNSENT_BYTES) {
      this.#log.warn({ code: 'SESSION_TIMEOUT' }, 'peer does not read; connection cut')
      this.#ws.terminate()
      return
    }
    this.#ws.send(encodeMessage(message), { binary: true })
  }

  /** Tells the agent why, and ends the connection. A refusal is logged here, once. */
  fail(err: unknown): void {
    if (this.#ended) return
    const { code, message, retry, retryAfterMs } = this.#explain(err)
    const after = retryAfterMs === undefined ? {} : { retryAfterMs: Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) }
    this.send({ t: 'error', code, message: message.slice(0, 2048), ...after })
    this.#close(retry ? CLOSE_TRY_AGAIN : CLOSE_POLICY, code)
  }

  /** As `fail`, when the messages that have come are answered. More are not taken. */
  failAfterAnswers(err: unknown): void {
    this.#ending = true
    this.#queue = this.#queue.then(() => this.fail(err))
  }

  /** Ends the connection in order. */
  close(): void {
    this.#close(CLOSE_NORMAL, '')
  }

  #explain(err: unknown): { code: string; message: string; retry: boolean; retryAfterMs?: number | undefined } {
    if (err instanceof SessionError) {
      this.#log.info({ code: err.code, reason: err.message }, 'connection refused')
      return { code: err.code, message: err.message, retry: err.retry, retryAfterMs: err.retryAfterMs }
    }
    if (err instanceof ProtocolError) {
      this.#log.info({ code: err.code, reason: err.message }, 'message refused')
      return { code: err.code, message: err.message, retry: false }
    }
    const id = randomUUID()
    this.#log.error({ err, code: 'INTERNAL', errorId: id }, 'internal error')
    const hint = err instanceof CodedError && codeOf(err)?.startsWith('STORE_') ? ` (${codeOf(err)})` : ''
    return {
      code: 'INTERNAL',
      message: `the verifier failed${hint}; its log has the cause under errorId ${id}`,
      retry: true,
    }
  }

  #received(data: RawData, isBinary: boolean): void {
    if (this.#ended || this.#ending) return
    this.#alive = true
    if (!this.#rate.take(performance.now())) {
      this.fail(new SessionError('SESSION_TOO_MANY_MESSAGES', 'more messages than an agent sends', { retry: true }))
      return
    }
    if (++this.#waiting > MAX_WAITING) {
      this.fail(
        new SessionError('SESSION_TOO_MANY_MESSAGES', `${MAX_WAITING} messages sent without waiting for an answer`),
      )
      return
    }
    this.#queue = this.#queue.then(async () => {
      try {
        if (this.#ended) return
        if (!isBinary)
          throw new ProtocolError('PROTOCOL_NOT_CBOR', 'a text frame; this protocol has binary frames only')
        const frame = bytesOf(data)
        await this.#handler?.message(decodeAgentMessage(frame), frame)
      } catch (err) {
        this.fail(err)
      } finally {
        this.#waiting--
      }
    })
  }

  #beat(): void {
    if (!this.#alive) {
      this.#log.info({ code: 'SESSION_TIMEOUT' }, 'peer does not answer; connection cut')
      this.#ws.terminate()
      return
    }
    this.#alive = false
    this.#ws.ping()
  }

  #close(code: number, reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#ws.close(code, reason)
    const cut = setTimeout(() => this.#ws.terminate(), CLOSE_TIMEOUT_MS)
    this.#ws.once('close', () => clearTimeout(cut))
  }

  #gone(): void {
    this.#ended = true
    clearInterval(this.#heartbeat)
    try {
      this.#handler?.closed()
    } catch (err) {
      this.#log.error({ err, reason: messageOf(err) }, 'while a connection was cleared away')
    }
  }
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data)
  // exactly the frame's own bytes: a Buffer of ws is a view into a larger one
  return data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.length)
}
