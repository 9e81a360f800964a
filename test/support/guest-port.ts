import { EventEmitter, once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { type Frame, FrameReader, frame } from './guest-frames.ts'

/** The host's end of one port of a guest. Emits `frame` for each that comes. */
export class GuestPort extends EventEmitter {
  readonly frames: Frame[] = []
  readonly #server: Server
  readonly #connected: Promise<Socket>

  private constructor(server: Server) {
    super()
    this.setMaxListeners(0)
    this.#server = server
    const reader = new FrameReader()
    this.#connected = once(server, 'connection').then(([socket]: Socket[]) => {
      if (socket === undefined) throw new Error('no connection')
      socket.on('error', () => {}) // QEMU ended: `close` follows
      socket.on('data', (bytes: Buffer) => {
        for (const f of reader.take(bytes)) {
          this.frames.push(f)
          this.emit('frame', f)
        }
      })
      return socket
    })
    this.#connected.catch(() => {})
  }

  static async listen(path: string): Promise<GuestPort> {
    const server = createServer()
    server.listen(path)
    await once(server, 'listening')
    return new GuestPort(server)
  }

  async send(kind: number, channel = 0, payload?: Uint8Array): Promise<void> {
    await this.sendBytes(frame(kind, channel, payload))
  }

  async sendBytes(bytes: Uint8Array): Promise<void> {
    const socket = await this.#connected
    socket.write(bytes)
  }

  /** Stops reading, as a keeper does that nobody takes bytes from; `resume` goes on. */
  async pause(): Promise<void> {
    const socket = await this.#connected
    socket.pause()
  }

  async resume(): Promise<void> {
    const socket = await this.#connected
    socket.resume()
  }

  /** Resolves with the first frame, also of those that came already, of which `is` holds. */
  async when(is: (f: Frame) => boolean): Promise<Frame> {
    const found = this.frames.find(is)
    if (found !== undefined) return found
    return new Promise((resolve) => {
      const look = (f: Frame): void => {
        if (!is(f)) return
        this.off('frame', look)
        resolve(f)
      }
      this.on('frame', look)
    })
  }

  /** Payloads of the frames of a kind, one after another. */
  said(kind: number, channel = 0, from = 0): string {
    const parts = this.frames.slice(from).filter((f) => f.kind === kind && f.channel === channel)
    return Buffer.concat(parts.map((f) => f.payload)).toString('utf8')
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.emit('connection') // lets go of who waits for one that never came
    const socket = await this.#connected.catch(() => undefined)
    socket?.destroy()
    await closed
  }
}
