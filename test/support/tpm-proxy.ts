import { connect, createServer, type Server, type Socket } from 'node:net'
import { twoFreePorts } from './swtpm.ts'

/** TPM_CC of commands that tests look for (TPM 2.0 Part 2 r1.59 §6.5.2). */
export const TPM_CC = {
  PCR_Extend: 0x182,
  Quote: 0x158,
  GetRandom: 0x17b,
  GetCapability: 0x17a,
  ReadClock: 0x181,
  PCR_Read: 0x17e,
  ActivateCredential: 0x147,
  StartAuthSession: 0x176,
  CreatePrimary: 0x131,
} as const

/**
 * What happens to a command or response: on it goes, it waits for ever, the connection closes, or other bytes go
 * instead.
 */
export type ProxyAction = 'pass' | 'stall' | 'drop' | { readonly instead: Uint8Array }

export interface TpmCommand {
  /** TPM_CC. */
  readonly code: number
  /** The whole command, header included. */
  readonly bytes: Uint8Array
}

/**
 * Hooks of the proxy; both may be awaited, so that a test can kill somebody at exactly this point. Absent ones pass.
 */
export interface ProxyRules {
  /** Before the TPM sees the command. */
  beforeCommand?(command: TpmCommand): ProxyAction | Promise<ProxyAction>
  /** When the TPM has carried out the command and before the program sees the answer. */
  afterResponse?(command: TpmCommand, response: Uint8Array): ProxyAction | Promise<ProxyAction>
}

/**
 * A TCP proxy between a program and swtpm. `rules` may be changed at any time. The control port is passed through.
 * The caller stops it, in an `after` or a `finally`.
 */
export class TpmProxy {
  rules: ProxyRules = {}
  readonly #port: number
  readonly #upstreamPort: number
  readonly #servers: Server[] = []
  readonly #sockets = new Set<Socket>()

  private constructor(port: number, upstreamPort: number) {
    this.#port = port
    this.#upstreamPort = upstreamPort
  }

  /** @param upstreamPort command port of the simulator */
  static async start(upstreamPort: number, rules: ProxyRules = {}): Promise<TpmProxy> {
    const proxy = new TpmProxy(await twoFreePorts(), upstreamPort)
    proxy.rules = rules
    await proxy.#listen(0, (client) => proxy.#serveCommands(client))
    await proxy.#listen(1, (client) => {
      const upstream = proxy.#connect(upstreamPort + 1, client)
      client.pipe(upstream)
      upstream.pipe(client)
    })
    return proxy
  }

  get tcti(): string {
    return `swtpm:host=127.0.0.1,port=${this.#port}`
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(this.#servers.map((s) => new Promise((resolve) => s.close(resolve))))
  }

  #listen(offset: number, serve: (client: Socket) => void): Promise<void> {
    const server = createServer((client) => {
      this.#track(client)
      serve(client)
    })
    this.#servers.push(server)
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.#port + offset, '127.0.0.1', resolve)
    })
  }

  #connect(port: number, client: Socket): Socket {
    const upstream = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#track(upstream)
    upstream.once('close', () => client.destroy())
    client.once('close', () => upstream.destroy())
    return upstream
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy()) // broken connections are what tests make
    socket.once('close', () => this.#sockets.delete(socket))
  }

  #serveCommands(client: Socket): void {
    client.setNoDelay(true)
    const upstream = this.#connect(this.#upstreamPort, client)
    let current: TpmCommand | undefined
    onPackets(client, async (bytes) => {
      const command = { code: new DataView(bytes.buffer, bytes.byteOffset).getUint32(6), bytes }
      current = command
      act((await this.rules.beforeCommand?.(command)) ?? 'pass', bytes, upstream, client)
    })
    onPackets(upstream, async (bytes) => {
      const action = current === undefined ? 'pass' : await this.rules.afterResponse?.(current, bytes)
      act(action ?? 'pass', bytes, client, client)
    })
  }
}

function act(action: ProxyAction, bytes: Uint8Array, to: Socket, client: Socket): void {
  if (action === 'pass') to.write(bytes)
  else if (action === 'drop') client.destroy()
  else if (action !== 'stall') to.write(action.instead)
}

/** Commands and responses both have tag (2), size of the whole (4), code (4). */
function onPackets(socket: Socket, handle: (bytes: Uint8Array) => Promise<void>): void {
  let held = Buffer.alloc(0)
  let turn = Promise.resolve()
  socket.on('data', (piece: Buffer) => {
    held = Buffer.concat([held, piece])
    while (held.length >= 10 && held.length >= held.readUInt32BE(2)) {
      const packet = new Uint8Array(held.subarray(0, held.readUInt32BE(2)))
      held = held.subarray(packet.length)
      turn = turn.then(() => handle(packet)).catch(() => void socket.destroy()) // a hook that throws must not look like a hang
    }
  })
}
