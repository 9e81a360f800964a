import type { Socket } from 'node:net'
import { utf8 } from '../../attestation/base/index.ts'
import { descriptorOf } from '../../native/process/index.ts'
import { CLIENT_FAILED, frame, MAX_REQUEST_BYTES, Stage0Error } from './stage0-protocol.ts'

/** A client sends its request at once. */
const REQUEST_TIMEOUT_MS = 5_000
/** Longer than any launch takes: the agent answers or is given up within 75 s. */
const IDLE_TIMEOUT_MS = 120_000
const LENGTH_BYTES = 4
/** The client reads frames of at most 64 KiB. */
const TEXT_BYTES = 32 << 10

/** The server's end of one client's connection. */
export class Stage0Connection {
  readonly #socket: Socket
  readonly #gone = new AbortController()
  readonly #received: Buffer[] = []
  #receivedBytes = 0
  /** Called when something came or the connection ended. */
  #notify: () => void = () => {}
  #written: Promise<void> = Promise.resolve()

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setTimeout(IDLE_TIMEOUT_MS, () => socket.destroy())
    socket.on('error', () => {}) // `close` follows, which says the same
    const leave = (): void => {
      this.#gone.abort()
      this.#notify()
    }
    socket.on('end', leave)
    socket.on('close', leave)
    socket.on('data', (part) => {
      this.#receivedBytes += part.length
      if (this.#receivedBytes > LENGTH_BYTES + MAX_REQUEST_BYTES) socket.destroy()
      else this.#received.push(part)
      this.#notify()
    })
  }

  /** Aborted when the client has closed its end. */
  get gone(): AbortSignal {
    return this.#gone.signal
  }

  write(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#written = new Promise((resolve) => this.#socket.write(bytes, () => resolve()))
  }

  /** In as many frames as the client's bound asks for. */
  writeText(type: 'output' | 'error', text: string): void {
    const bytes = utf8(text)
    for (let at = 0; at < bytes.length; at += TEXT_BYTES) this.write(frame(type, bytes.subarray(at, at + TEXT_BYTES)))
  }

  /**
   * @returns the connection's descriptor, when all that was written is with the kernel. @throws ProcessError when it is
   * closed
   */
  async flushed(): Promise<number> {
    await this.#written
    return descriptorOf(this.#socket)
  }

  end(): void {
    this.#socket.end()
  }

  /**
   * The one request of the client, without its length.
   * @returns undefined when the client went without one
   * @throws Stage0Error STAGE0_REQUEST_BAD
   */
  async request(): Promise<Uint8Array | undefined> {
    const timer = setTimeout(() => this.#socket.destroy(), REQUEST_TIMEOUT_MS)
    try {
      for (;;) {
        const request = this.#takeRequest()
        if (request !== undefined) return request
        if (this.gone.aborted) return undefined
        await this.#something()
      }
    } finally {
      clearTimeout(timer)
    }
  }

  #takeRequest(): Uint8Array | undefined {
    if (this.#receivedBytes < LENGTH_BYTES) return undefined
    const bytes = Buffer.concat(this.#received.splice(0))
    this.#received.push(bytes)
    const end = LENGTH_BYTES + bytes.readUInt32LE(0)
    if (end > LENGTH_BYTES + MAX_REQUEST_BYTES || bytes.length > end) {
      throw new Stage0Error(
        'STAGE0_REQUEST_BAD',
        `a request of ${bytes.length - LENGTH_BYTES} bytes is not as announced`,
      )
    }
    if (bytes.length < end) return undefined
    this.#received.length = 0
    this.#receivedBytes = 0
    return new Uint8Array(bytes.subarray(LENGTH_BYTES))
  }

  /** After `become`: how that went. */
  async closedOrFailed(): Promise<'closed' | 'failed'> {
    while (this.#received.length === 0 && !this.gone.aborted) await this.#something()
    return this.#received[0]?.[0] === CLIENT_FAILED ? 'failed' : 'closed'
  }

  #something(): Promise<void> {
    return new Promise((resolve) => {
      this.#notify = resolve
    })
  }
}
