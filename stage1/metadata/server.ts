import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { PodError } from '../pod/index.ts'
import { answerMetadata, type MetadataAnswer, refusal } from './answers.ts'
import { askingPod, type MetadataStore } from './registered-pod.ts'

/** A form of a pod: what is signed is a text, no file. */
const MAX_FORM_BYTES = 1 << 20
const PATIENCE_MS = 5000
const MAX_CONNECTIONS = 256
/** Each pod has an address, or those of a network share one: none may keep the others out. */
const MAX_CONNECTIONS_OF_ADDRESS = 16
const CHECK_MS = 1000
/** Of a path in the log: a pod may ask for any. */
const MAX_TOLD_CHARACTERS = 200

export interface MetadataServerOptions extends MetadataStore {
  readonly address: string
  readonly port: number
  /** Milliseconds that a request may take to come, and that a connection may be still; 5000 unless given. */
  readonly patienceMs?: number
  /** For each request: never the token, which is the pod's secret. */
  readonly tell: (event: {
    readonly pod?: string
    readonly path: string
    readonly status: number
    readonly err?: unknown
  }) => void
}

/** Serves the pods of one machine over HTTP; each is known by the token in its URL, and asks for itself. */
export class MetadataServer {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  /** @throws PodError POD_UNSUPPORTED when the address cannot be had */
  static async listen(options: MetadataServerOptions): Promise<MetadataServer> {
    const { patienceMs = PATIENCE_MS } = options
    const limits = {
      maxHeaderSize: 8 << 10,
      ...{ requestTimeout: patienceMs, headersTimeout: patienceMs, keepAliveTimeout: patienceMs },
      connectionsCheckingInterval: Math.min(CHECK_MS, patienceMs), // else Node looks every 30 s
    }
    const server = createServer(limits, (request, response) => {
      void serve(options, request, response)
    })
    server.timeout = patienceMs // also of who asks and does not take the answer
    server.maxConnections = MAX_CONNECTIONS
    limitAddresses(server)
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) => {
        const where = `${options.address}:${options.port}`
        const hint =
          codeOf(cause) === 'EADDRINUSE'
            ? 'Another metadata service runs already; one is enough for a machine.'
            : 'holdfast metadata-service adds the address to the interface lo, as root; or give --listen.'
        reject(new PodError('POD_UNSUPPORTED', `${where}: ${messageOf(cause)}`, { cause, hint }))
      })
      server.listen(options.port, options.address, resolve)
    })
    server.removeAllListeners('error')
    server.on('error', (err) => options.tell({ path: '', status: 0, err }))
    return new MetadataServer(server)
  }

  /** Where it listens. */
  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** Takes no more requests, lets those in hand finish. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeIdleConnections()
    })
  }
}

function limitAddresses(server: Server): void {
  const connections = new Map<string, number>()
  server.on('connection', (socket) => {
    const address = socket.remoteAddress ?? ''
    const count = (connections.get(address) ?? 0) + 1
    if (count > MAX_CONNECTIONS_OF_ADDRESS) {
      socket.destroy()
      return
    }
    connections.set(address, count)
    socket.once('close', () => {
      const left = (connections.get(address) ?? 0) - 1
      if (left > 0) connections.set(address, left)
      else connections.delete(address)
    })
  })
}

async function serve(
  options: MetadataServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [, token = '', ...rest] = (request.url ?? '/').split('?', 1)[0]?.split('/') ?? []
  const path = `/${rest.join('/')}`
  let pod: string | undefined
  let answer: MetadataAnswer
  let problem: unknown
  try {
    const asking = askingPod(options, token)
    pod = asking?.uuid
    if (request.headers['metadata-flavor'] !== 'AppContainer') {
      // A page that a browser or a proxy was made to fetch does not have it.
      answer = refusal(400, "the header 'Metadata-Flavor: AppContainer' is missing")
    } else if (asking === undefined) answer = refusal(404, 'no pod has this URL')
    else answer = answerMetadata(asking, { method: request.method ?? '', path, form: await readForm(request) })
  } catch (err) {
    if (err instanceof FormError) answer = refusal(err.status, err.message)
    else {
      problem = err
      answer = refusal(500, 'the service failed; its log says why')
    }
  }
  options.tell({
    ...(pod === undefined ? {} : { pod }),
    path: path.slice(0, MAX_TOLD_CHARACTERS),
    status: answer.status,
    ...(problem === undefined ? {} : { err: problem }),
  })
  response.writeHead(answer.status, {
    'content-type': answer.contentType,
    'content-length': answer.body.length,
    ...(request.complete ? {} : { connection: 'close' }), // the rest of what was refused is not read
  })
  response.end(answer.body)
}

class FormError extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  if (request.method !== 'POST') return new URLSearchParams()
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/x-www-form-urlencoded')
    throw new FormError(415, 'send a form: application/x-www-form-urlencoded')
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.length
    if (size > MAX_FORM_BYTES) throw new FormError(413, `a form has at most ${MAX_FORM_BYTES} bytes`)
    pieces.push(piece)
  }
  return new URLSearchParams(Buffer.concat(pieces).toString('utf8'))
}
