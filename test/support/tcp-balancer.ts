import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** A TCP load balancer on loopback: each connection goes to the next backend, past those that do not answer. */
export class TcpBalancer {
  readonly port: number
  /** How many connections each backend has had. */
  readonly served = new Map<number, number>()
  readonly #server: Server
  readonly #backends: readonly number[]
  readonly #sockets = new Set<Socket>()
  #turn = 0

  private constructor(server: Server, backends: readonly number[]) {
    this.#server = server
    this.#backends = backends
    this.port = (server.address() as AddressInfo).port // of a TCP server that listens
    server.on('connection', (client) => this.#serve(client, this.#backends.length))
  }

  /** @param backends ports of loopback; changes of the array hold for the next connection */
  static async start(backends: readonly number[]): Promise<TcpBalancer> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new TcpBalancer(server, backends)
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #serve(client: Socket, attempts: number): void {
    const port = this.#backends[this.#turn++ % this.#backends.length]
    this.#keep(client)
    if (port === undefined || attempts === 0) {
      client.destroy()
      return
    }
    const backend = this.#keep(connect(port, '127.0.0.1'))
    let connected = false
    backend.once('connect', () => {
      connected = true
      this.served.set(port, (this.served.get(port) ?? 0) + 1)
      client.pipe(backend)
      backend.pipe(client)
    })
    backend.once('close', () => {
      if (connected) client.destroy()
      else this.#serve(client, attempts - 1)
    })
    client.once('close', () => backend.destroy())
  }

  #keep(socket: Socket): Socket {
    if (!this.#sockets.has(socket)) {
      this.#sockets.add(socket)
      socket.on('error', () => {}) // a close follows
      socket.on('close', () => this.#sockets.delete(socket))
    }
    return socket
  }
}
