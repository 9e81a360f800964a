import { createHmac } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One post as it came. */
export interface Posted {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** What a webhook says of a node. */
export interface StandingMessage {
  readonly type: string
  readonly data: {
    readonly node: string
    readonly from: string
    readonly to: string
    readonly reasons: readonly { readonly rule: string; readonly message: string }[]
  }
}

/** An HTTP server on loopback that keeps what is posted to it. The caller stops it. */
export class WebhookReceiver {
  readonly posts: Posted[] = []
  /** What to answer: a status, or nothing at all. */
  answer: number | 'hang' = 204
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', (part: Buffer) => parts.push(part))
      request.on('end', () => {
        this.posts.push({ headers: request.headers, body: Buffer.concat(parts).toString('utf8') })
        if (this.answer === 'hang') return
        response.writeHead(this.answer, this.answer === 302 ? { location: `${this.url}/elsewhere` } : {}).end()
      })
    })
  }

  static async start(): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver()
    await new Promise<void>((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve))
    return receiver
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook` // it listens on TCP
  }

  /** What was said, in order; each is checked to be signed with this secret, as Standard Webhooks 1.0.0 has it. */
  said(secret: string): StandingMessage[] {
    return this.posts.map(({ headers, body }) => {
      const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`
      const right = `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`
      if (headers['webhook-signature'] !== right) throw new Error(`a webhook is signed ${headers['webhook-signature']}`)
      return JSON.parse(body)
    })
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }
}
