import { createServer, request, type Server } from 'node:http'

/** An answer on its way from the agent to stage0. */
export interface AgentAnswer {
  readonly status: number
  readonly body: string
}

/**
 * Called with what stage0 asked and what the agent answered, before stage0 hears of it. What it gives is what stage0
 * hears.
 */
export type AnswerHook = (asked: string, answer: AgentAnswer) => AgentAnswer | Promise<AgentAnswer>

/** Stands on the socket between stage0 and the real agent. The caller stops it, in an `after` or a `finally`. */
export class AgentProxy {
  readonly socket: string
  hook: AnswerHook = (_, answer) => answer
  readonly #server: Server

  private constructor(socket: string, server: Server) {
    this.socket = socket
    this.#server = server
  }

  /**
   * @param socket path where it listens
   * @param agentSocket path of the real agent's
   */
  static async start(socket: string, agentSocket: string): Promise<AgentProxy> {
    const server = createServer((incoming, response) => {
      const parts: Buffer[] = []
      incoming.on('data', (part: Buffer) => parts.push(part))
      incoming.on('end', () => {
        const asked = Buffer.concat(parts).toString('utf8')
        ask(agentSocket, incoming.method ?? '', incoming.url ?? '', asked)
          .then((answer) => proxy.hook(asked, answer))
          .then(({ status, body }) => response.writeHead(status, { 'content-type': 'application/json' }).end(body))
          .catch(() => incoming.socket.destroy()) // stage0 must see that it did not work
      })
    })
    const proxy = new AgentProxy(socket, server)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(socket, resolve)
    })
    return proxy
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }
}

function ask(socketPath: string, method: string, path: string, body: string): Promise<AgentAnswer> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method, path }, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('error', reject)
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts).toString('utf8') }))
    })
    call.on('error', reject)
    call.end(body)
  })
}
