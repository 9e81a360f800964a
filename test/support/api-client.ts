import { type IncomingMessage, request } from 'node:http'
import { request as requestTls } from 'node:https'

export interface ApiAnswer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly bytes: Buffer
  readonly text: string
  /** The body as JSON; tests say what they expect of it. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape, and fail where they are of another
  readonly json: any
}

export interface ApiRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** A client of the API: over TLS with the verifier's CA, or in clear text without one. */
export class ApiClient {
  readonly port: number
  readonly ca: string | undefined
  readonly token: string | undefined

  constructor(port: number, ca: string | undefined, token?: string) {
    this.port = port
    this.ca = ca
    this.token = token
  }

  with(token: string | undefined): ApiClient {
    return new ApiClient(this.port, this.ca, token)
  }

  async get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<ApiAnswer> {
    return await this.ask(path, { headers })
  }

  async post(path: string, body?: unknown): Promise<ApiAnswer> {
    const text =
      body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    return await this.ask(path, { method: 'POST', ...text })
  }

  async ask(path: string, { method = 'GET', headers = {}, body }: ApiRequest = {}): Promise<ApiAnswer> {
    const response = await this.open(path, { method, headers, ...(body !== undefined && { body }) })
    const parts: Buffer[] = []
    for await (const part of response) parts.push(part)
    const bytes = Buffer.concat(parts)
    const text = bytes.toString()
    return {
      ...{ status: response.statusCode ?? 0, headers: response.headers, bytes, text },
      get json() {
        return JSON.parse(text)
      },
    }
  }

  /** The answer as it begins; for what does not end. */
  async open(path: string, { method = 'GET', headers = {}, body }: ApiRequest = {}): Promise<IncomingMessage> {
    const authorization = this.token === undefined ? {} : { authorization: `Bearer ${this.token}` }
    const options = { host: '127.0.0.1', port: this.port, path, method, headers: { ...authorization, ...headers } }
    return await new Promise((resolve, reject) => {
      const sent =
        this.ca === undefined
          ? request({ ...options, agent: false })
          : requestTls({ ...options, agent: false, ca: this.ca, servername: 'localhost' })
      sent.on('response', resolve).on('error', reject)
      sent.end(body)
    })
  }
}

/** All items of a list, part by part. */
export async function allOf(
  client: ApiClient,
  path: string,
  between: () => Promise<void> = async () => {},
  // biome-ignore lint/suspicious/noExplicitAny: as above
): Promise<any[]> {
  const items = []
  let cursor: string | null = null
  do {
    const from: string = cursor === null ? '' : `&cursor=${cursor}`
    const answer = await client.get(`${path}${path.includes('?') ? '' : '?'}${from}`)
    if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}: ${answer.text}`)
    items.push(...answer.json.items)
    cursor = answer.json.next
    if (cursor !== null) await between()
  } while (cursor !== null)
  return items
}
