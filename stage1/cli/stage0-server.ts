import { createServer, type Server, type Socket } from 'node:net'
import { codeOf, EXIT_HOLDFAST_FAILED, failureText, utf8 } from '../../attestation/base/index.ts'
import { descriptorOf, MAX_SENT_DESCRIPTORS, peerCredentials, sendDescriptors } from '../../native/process/index.ts'
import { type AuthorisedLaunch, loadLaunchCode } from '../pod/index.ts'
import { wordsBesideArguments } from './option-table.ts'
import { prepareRun } from './run.ts'
import { Stage0Connection } from './stage0-connection.ts'
import { viewOf } from './stage0-peer.ts'
import { becomePayload, decodeRunRequest, frame, type RunRequest, STAGE0_PROTOCOL } from './stage0-protocol.ts'
import { listenForRoot } from './stage0-socket.ts'
import { mayDetach } from './streams-options.ts'

const MAX_CONNECTIONS = 256
/** Each image is one of these and one descriptor to hand over, beside four others. */
const MAX_ARGUMENTS = MAX_SENT_DESCRIPTORS - 4

/** Before anything is measured: a process of its own has to carry this out. */
class ColdStart extends Error {}

/** What became of a request, for the operator. */
export type Stage0Event =
  | { readonly event: 'handed over'; readonly ms: number }
  | { readonly event: 'refused'; readonly uid: number }
  | { readonly event: 'started cold'; readonly why: string }
  /** `err` only where nobody expected it: what a person was told may hold what should not be in a log. */
  | { readonly event: 'not started'; readonly code: string; readonly err?: unknown }
  | { readonly event: 'given up' }

export interface Stage0Options {
  readonly socketPath: string
  /** Which installation this is (installationIdentity); a client of another one starts cold. */
  readonly installation: string
  readonly tell: (event: Stage0Event) => void
}

/**
 * Runs `holdfast run` for clients that become the pod themselves. Each request has its own RunContext; nothing is kept
 * between two of them but loaded code.
 */
export class Stage0Server {
  readonly #options: Stage0Options
  readonly #server: Server
  readonly #hello: Uint8Array
  readonly #view: string | undefined
  readonly #serving = new Set<Promise<void>>()

  private constructor(options: Stage0Options) {
    this.#options = options
    this.#hello = frame('hello', utf8(`${STAGE0_PROTOCOL} ${options.installation}`))
    this.#view = viewOf('self')
    this.#server = createServer((socket) => {
      const served = this.#serve(socket).finally(() => this.#serving.delete(served))
      this.#serving.add(served)
    })
    this.#server.maxConnections = MAX_CONNECTIONS
  }

  /** @throws Stage0Error, ProcessError */
  static async listen(options: Stage0Options): Promise<Stage0Server> {
    await loadLaunchCode()
    const server = new Stage0Server(options)
    await listenForRoot(server.#server, options.socketPath)
    return server
  }

  /** Takes no more requests, lets those in hand come to their end. */
  async close(): Promise<void> {
    this.#server.close()
    await Promise.all(this.#serving)
  }

  async #serve(socket: Socket): Promise<void> {
    const connection = new Stage0Connection(socket)
    try {
      const { uid, pid } = peerCredentials(descriptorOf(socket))
      if (uid !== process.geteuid?.()) {
        this.#options.tell({ event: 'refused', uid })
        return
      }
      if (this.#view === undefined || viewOf(pid) !== this.#view) throw new ColdStart('another view of the machine')
      connection.write(this.#hello)
      const payload = await connection.request()
      if (payload !== undefined) await this.#run(connection, decodeRunRequest(payload))
    } catch (err) {
      this.#refuse(connection, err)
    } finally {
      connection.end()
    }
  }

  #refuse(connection: Stage0Connection, err: unknown): void {
    const { tell } = this.#options
    if (err instanceof ColdStart) {
      tell({ event: 'started cold', why: err.message })
      connection.write(frame('cold'))
    } else if (connection.gone.aborted) {
      tell({ event: 'given up' })
    } else {
      const code = codeOf(err)
      tell({ event: 'not started', ...(code === undefined ? { code: 'INTERNAL', err } : { code }) })
      connection.writeText('error', failureText('run', err))
      connection.write(frame('exit', Uint8Array.of(EXIT_HOLDFAST_FAILED)))
    }
  }

  async #run(connection: Stage0Connection, { args, cwd, umask }: RunRequest): Promise<void> {
    const start = performance.now()
    if (args.length > MAX_ARGUMENTS && wordsBesideArguments(args) > MAX_ARGUMENTS) throw new ColdStart('so many images')
    if (mayDetach(args)) throw new ColdStart('a detached pod is started by its caller')
    const launch = await prepareRun(args, {
      cwd,
      umask,
      writeOutput: (text) => connection.writeText('output', text),
      writeError: (text) => connection.writeText('error', text),
      environment: () => {
        throw new ColdStart("the caller's environment is asked for, which is never sent")
      },
      fetch: (_store, name) => Promise.reject(new ColdStart(`${name} is to be fetched`)),
      signal: connection.gone,
    })
    if (launch === undefined) connection.write(frame('exit', Uint8Array.of(0)))
    else {
      await this.#handOver(connection, launch)
      this.#options.tell({ event: 'handed over', ms: Math.round(performance.now() - start) })
    }
  }

  /** The client's copies are on their way when ours are closed: the pod does not depend on this process. */
  async #handOver(connection: Stage0Connection, launch: AuthorisedLaunch): Promise<void> {
    const { program, argv, fds, abandon, close } = launch
    try {
      try {
        sendDescriptors(await connection.flushed(), frame('become', becomePayload(argv)), [program, ...fds])
      } finally {
        close()
      }
      if ((await connection.closedOrFailed()) === 'failed') throw new Error('the client could not execute it')
    } catch (err) {
      abandon()
      throw err
    }
  }
}
