import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** Stands between agent and verifier and counts what passes. It sees TLS records only. The caller stops it. */
export class CountingRelay {
  /** Bytes from the agent so far. */
  sent = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(to: number): Promise<CountingRelay> {
    const server = createServer((agent) => {
      const verifier = connect(to, '127.0.0.1')
      agent.on('data', (chunk: Buffer) => {
        relay.sent += chunk.length
      })
      agent.pipe(verifier)
      verifier.pipe(agent)
      relay.#keep(agent, verifier)
    })
    const relay = new CountingRelay(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return relay
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port // it listens on TCP
  }

  stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  #keep(agent: Socket, verifier: Socket): void {
    for (const [socket, other] of [
      [agent, verifier],
      [verifier, agent],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => {}) // a close follows
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
  }
}
