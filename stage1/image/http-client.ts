import http from 'node:http'
import https from 'node:https'
import { ImageError } from './errors.ts'
import { type HttpAnswer, httpGet, type Patience, shownUrl } from './http-get.ts'

/** What is allowed on the way to a server. */
export interface HttpRules {
  /** Whether a host, as `host` or `host:port`, may be spoken to in plain HTTP. */
  readonly plainHttp: (host: string) => boolean
  /** False takes any certificate. */
  readonly verifyCertificate: boolean
  /** PEM certificates to trust instead of the system's, for a host. */
  readonly certificateAuthorities: (host: string) => string | undefined
  readonly patience?: Patience
  readonly signal?: AbortSignal
}

const MAX_REDIRECTS = 5
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** GET requests of one fetch, by the rules it was given. */
export class HttpClient {
  readonly #rules: HttpRules
  readonly #agents = { http: new http.Agent({ keepAlive: true }), https: new https.Agent({ keepAlive: true }) }
  /** What anything was asked over. */
  usedHttp = false
  usedTls = false

  constructor(rules: HttpRules) {
    this.#rules = rules
  }

  get verifiesCertificates(): boolean {
    return this.#rules.verifyCertificate
  }

  /** The start of URLs of a host: plain HTTP where that is allowed for it. */
  origin(host: string): string {
    return `${this.#rules.plainHttp(host) ? 'http' : 'https'}://${host}`
  }

  /**
   * Follows redirects. `secret` headers go to the origin of the URL only, and not to where it sends us.
   * @throws ImageError IMAGE_SOURCE_UNREACHABLE, IMAGE_SOURCE_INSECURE, IMAGE_SOURCE_BAD
   */
  async follow(
    start: URL,
    headers: Readonly<Record<string, string>>,
    secret: Readonly<Record<string, string>> = {},
  ): Promise<HttpAnswer> {
    let url = start
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const answer = await this.get(url, url.origin === start.origin ? { ...headers, ...secret } : headers)
      if (!REDIRECTS.has(answer.status)) return answer
      answer.body.destroy()
      const location = answer.headers.location
      if (location === undefined || !URL.canParse(location, url.href)) {
        throw new ImageError('IMAGE_SOURCE_BAD', `${shownUrl(url)} redirects to nowhere`)
      }
      url = new URL(location, url)
    }
    throw new ImageError('IMAGE_SOURCE_BAD', `${shownUrl(start)} redirects more than ${MAX_REDIRECTS} times`)
  }

  /** One request, without following redirects. @throws ImageError as follow */
  async get(url: URL, headers: Readonly<Record<string, string>>): Promise<HttpAnswer> {
    const { plainHttp, verifyCertificate, certificateAuthorities, patience, signal } = this.#rules
    if (url.protocol === 'http:') {
      if (!plainHttp(url.host)) {
        throw new ImageError(
          'IMAGE_SOURCE_INSECURE',
          `${shownUrl(url)} is plain HTTP; --insecure-options=http would allow it`,
        )
      }
      this.usedHttp = true
    } else if (url.protocol !== 'https:') {
      throw new ImageError('IMAGE_SOURCE_BAD', `redirected to ${url.protocol}, which is not HTTP`)
    } else this.usedTls = true
    const ca = certificateAuthorities(url.host)
    return httpGet(url, {
      headers,
      agents: this.#agents,
      verifyCertificate,
      ...(ca !== undefined && { certificateAuthorities: ca }),
      ...(patience && { patience }),
      ...(signal && { signal }),
    })
  }

  close(): void {
    this.#agents.http.destroy()
    this.#agents.https.destroy()
  }
}
