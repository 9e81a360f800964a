import { connect, createServer, type Server, type Socket } from 'node:net'
import { twoFreePorts } from '../../support/swtpm.ts'

const TPM_CC_PCR_EXTEND = 0x182
/** tag, size, command code */
const HEADER_BYTES = 10

/** What happens around an extend; what returns false swallows the command or its answer. */
export interface ExtendHooks {
  before?: (pcr: number) => boolean
  after?: (pcr: number) => boolean
}

/** Stands between tpm2-tss and a TPM simulator and sees each PCR_Extend, so that a test can stop the agent exactly around one. */
export class TpmProxy {
  hooks: ExtendHooks = {}
  readonly port: number
  readonly #servers: readonly Server[]
  readonly #sockets = new Set<Socket>()

  private constructor(port: number, servers: readonly Server[]) {
    this.port = port
    this.#servers = servers
  }

  /** @param target the simulator's command port; its control port is the next */
  static async start(target: number): Promise<TpmProxy> {
    const port = await twoFreePorts()
    const servers = [createServer(), createServer()]
    const proxy = new TpmProxy(port, servers)
    for (const [i, server] of servers.entries()) {
      server.on('connection', (client) => proxy.#forward(client, target + i, i === 0))
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(port + i, '127.0.0.1', resolve)
      })
    }
    return proxy
  }

  get tcti(): string {
    return `swtpm:host=127.0.0.1,port=${this.port}`
  }

  /** Cuts every connection, as the end of the TPM process would. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async stop(): Promise<void> {
    this.cut()
    await Promise.all(this.#servers.map((s) => new Promise((resolve) => s.close(resolve))))
  }

  #forward(client: Socket, port: number, commands: boolean): void {
    const tpm = connect(port, '127.0.0.1')
    for (const [one, other] of [
      [client, tpm],
      [tpm, client],
    ] as const) {
      this.#sockets.add(one)
      one.setNoDelay(true)
      one.on('error', () => {})
      one.on('close', () => {
        this.#sockets.delete(one)
        other.destroy()
      })
    }
    let extending: number | undefined
    let waiting = Buffer.alloc(0)
    client.on('data', (data: Buffer) => {
      if (!commands) {
        tpm.write(data)
        return
      }
      waiting = Buffer.concat([waiting, data])
      while (waiting.length >= HEADER_BYTES && waiting.length >= waiting.readUInt32BE(2)) {
        const command = waiting.subarray(0, waiting.readUInt32BE(2))
        waiting = waiting.subarray(command.length)
        extending = command.readUInt32BE(6) === TPM_CC_PCR_EXTEND ? command.readUInt32BE(10) : undefined
        if (extending === undefined || (this.hooks.before?.(extending) ?? true)) tpm.write(command)
      }
    })
    tpm.on('data', (data: Buffer) => {
      const pcr = extending
      extending = undefined
      if (pcr === undefined || (this.hooks.after?.(pcr) ?? true)) client.write(data)
    })
  }
}
