import http from 'node:http'
import https from 'node:https'
import { parseJson, ShapeReader } from '../manifest/index.ts'
import { credentialsFor } from './credentials.ts'
import { ImageError } from './errors.ts'
import { type HttpAnswer, httpGet, readBody, shownUrl, streamBody } from './http-get.ts'
import type { Relaxation } from './image.ts'
import { LIMITS } from './limits.ts'
import { asManifestError, type Descriptor, INDEX_TYPES, MANIFEST_TYPES } from './oci.ts'
import type { ImageSource } from './source.ts'

/** Which image of which registry, and what is allowed on the way there. */
export interface RegistryRequest {
  readonly registry: string
  readonly repository: string
  readonly tag?: string
  readonly digest?: string
  /** Plain HTTP instead of TLS. */
  readonly plainHttp: boolean
  /** False takes any certificate. */
  readonly verifyCertificate: boolean
  readonly certificateAuthorities?: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal
}

const MAX_REDIRECTS = 5
const MAX_TOKEN_BYTES = 64 * 1024
const ACCEPT = [...MANIFEST_TYPES, ...INDEX_TYPES].join(', ')

/** An image in a registry (OCI distribution-spec v1.1, pulling), over HTTPS unless plain HTTP was allowed. */
export function openRegistry(request: RegistryRequest): ImageSource {
  return new RegistrySource(request)
}

class RegistrySource implements ImageSource {
  readonly #request: RegistryRequest
  readonly #origin: string
  readonly #agents = { http: new http.Agent({ keepAlive: true }), https: new https.Agent({ keepAlive: true }) }
  #authorization: string | undefined
  #usedHttp = false

  constructor(request: RegistryRequest) {
    this.#request = request
    this.#origin = `${request.plainHttp ? 'http' : 'https'}://${request.registry}`
  }

  async root(): Promise<{ bytes: Buffer; mediaType: string; digest?: string }> {
    const { tag, digest } = this.#request
    // The digest decides; a tag beside it is for people.
    const answer = await this.#get(`manifests/${digest ?? tag ?? 'latest'}`, ACCEPT)
    const bytes = await readBody(answer, LIMITS.manifestBytes)
    return { bytes, mediaType: contentType(answer), ...(digest && { digest }) }
  }

  async document(descriptor: Descriptor): Promise<Buffer> {
    const answer = await this.#get(`manifests/${descriptor.digest}`, descriptor.mediaType)
    return readBody(answer, Math.min(descriptor.sizeBytes + 1, LIMITS.manifestBytes))
  }

  async tagged(tag: string): Promise<{ bytes: Buffer; mediaType: string } | undefined> {
    const answer = await this.#getOrNothing(`manifests/${tag}`, ACCEPT)
    return answer && { bytes: await readBody(answer, LIMITS.manifestBytes), mediaType: contentType(answer) }
  }

  async referrers(digest: string): Promise<Buffer | undefined> {
    const answer = await this.#getOrNothing(`referrers/${digest}`, INDEX_TYPES[0])
    if (answer === undefined) return undefined
    // a registry without the list may answer something else than 404, as older ones do
    if (contentType(answer) === INDEX_TYPES[0]) return readBody(answer, LIMITS.manifestBytes)
    answer.body.destroy()
    return undefined
  }

  async *blob(descriptor: Descriptor): AsyncGenerator<Buffer> {
    yield* streamBody(await this.#get(`blobs/${descriptor.digest}`, '*/*'))
  }

  relaxed(): readonly Relaxation[] {
    const relaxed: Relaxation[] = []
    if (this.#usedHttp) relaxed.push('http')
    if (!this.#request.verifyCertificate) relaxed.push('tls')
    return relaxed
  }

  close(): void {
    this.#agents.http.destroy()
    this.#agents.https.destroy()
  }

  /** GET below the repository: answers a challenge once, follows redirects, gives only a 200. */
  async #get(what: string, accept: string): Promise<HttpAnswer> {
    const url = new URL(`/v2/${this.#request.repository}/${what}`, this.#origin)
    let answer = await this.#follow(url, accept)
    if (answer.status === 401 && answer.url.origin === this.#origin) {
      const challenge = answer.headers['www-authenticate'] ?? ''
      answer.body.destroy()
      this.#authorization = await this.#authorize(challenge, url)
      answer = await this.#follow(url, accept)
    }
    if (answer.status === 200) return answer
    answer.body.destroy()
    throw this.#statusError(answer, what)
  }

  /** As #get, for what need not be there. */
  async #getOrNothing(what: string, accept: string): Promise<HttpAnswer | undefined> {
    try {
      return await this.#get(what, accept)
    } catch (err) {
      if (err instanceof ImageError && err.code === 'IMAGE_NOT_FOUND') return undefined
      throw err
    }
  }

  async #follow(start: URL, accept: string): Promise<HttpAnswer> {
    let url = start
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      // Credentials are for the registry only, not for where it sends us.
      const authorization = url.origin === this.#origin ? this.#authorization : undefined
      const answer = await this.#send(url, { accept, ...(authorization && { authorization }) })
      if (![301, 302, 303, 307, 308].includes(answer.status)) return answer
      answer.body.destroy()
      const location = answer.headers.location
      if (location === undefined || !URL.canParse(location, url.href)) {
        throw new ImageError('IMAGE_SOURCE_BAD', `${shownUrl(url)} redirects to nowhere`)
      }
      url = new URL(location, url)
    }
    throw new ImageError('IMAGE_SOURCE_BAD', `${shownUrl(start)} redirects more than ${MAX_REDIRECTS} times`)
  }

  async #send(url: URL, headers: Readonly<Record<string, string>>): Promise<HttpAnswer> {
    if (url.protocol === 'http:') {
      if (!this.#request.plainHttp) {
        throw new ImageError(
          'IMAGE_SOURCE_INSECURE',
          `${shownUrl(url)} is plain HTTP; --insecure-options=http would allow it`,
        )
      }
      this.#usedHttp = true
    } else if (url.protocol !== 'https:') {
      throw new ImageError('IMAGE_SOURCE_BAD', `redirected to ${url.protocol}, which is not HTTP`)
    }
    const { certificateAuthorities, verifyCertificate, signal } = this.#request
    return httpGet(url, {
      headers,
      agents: this.#agents,
      verifyCertificate,
      ...(certificateAuthorities && { certificateAuthorities }),
      ...(signal && { signal }),
    })
  }

  /** Answers a challenge of RFC 7617 (Basic), or of the distribution project's token protocol (Bearer). */
  async #authorize(challenge: string, url: URL): Promise<string> {
    const basic = credentialsFor(this.#request.registry, this.#request.environment)
    const denied = (why: string) =>
      new ImageError(
        'IMAGE_SOURCE_DENIED',
        `${shownUrl(url)}: ${why}; put the right ones into $REGISTRY_AUTH_FILE or ~/.docker/config.json (docker login, skopeo login)`,
      )
    if (/^basic\b/i.test(challenge)) {
      if (basic === undefined) throw denied(`no credentials for ${this.#request.registry}`)
      if (this.#authorization !== undefined) throw denied('the credentials were refused')
      return `Basic ${basic}`
    }
    const parameters = new Map(
      [...challenge.matchAll(/([a-z]+)="([^"]{0,2000})"/gi)].map(([, k = '', v = '']) => [k.toLowerCase(), v]),
    )
    const realm = parameters.get('realm')
    if (!/^bearer\b/i.test(challenge) || realm === undefined || !URL.canParse(realm)) {
      throw new ImageError('IMAGE_SOURCE_BAD', `${shownUrl(url)} asks for credentials in an unknown way`)
    }
    const tokenUrl = new URL(realm)
    for (const name of ['service', 'scope']) {
      const value = parameters.get(name)
      if (value !== undefined) tokenUrl.searchParams.set(name, value)
    }
    const answer = await this.#send(tokenUrl, {
      accept: 'application/json',
      ...(basic && { authorization: `Basic ${basic}` }),
    })
    if (answer.status !== 200) {
      answer.body.destroy()
      throw denied(`${shownUrl(tokenUrl)} gave no token (status ${answer.status})`)
    }
    const token = readToken(await readBody(answer, MAX_TOKEN_BYTES), tokenUrl)
    return `Bearer ${token}`
  }

  #statusError(answer: HttpAnswer, what: string): ImageError {
    const where = `${shownUrl(answer.url)} answered ${answer.status}`
    switch (answer.status) {
      case 401:
      case 403:
        return new ImageError('IMAGE_SOURCE_DENIED', `${where}: other credentials are needed for it`)
      case 404:
        return what.startsWith('blobs/')
          ? new ImageError('IMAGE_BLOB_MISSING', `${where}: the registry lacks a part of the image; push it again`)
          : new ImageError('IMAGE_NOT_FOUND', `${where}: no such repository or tag`)
      case 429:
        return new ImageError('IMAGE_SOURCE_UNREACHABLE', `${where}: too many requests; try again later`)
      default:
        return new ImageError(answer.status >= 500 ? 'IMAGE_SOURCE_UNREACHABLE' : 'IMAGE_SOURCE_BAD', where)
    }
  }
}

function contentType(answer: HttpAnswer): string {
  const type = (answer.headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''
  if (type === 'text/html' || type === '') {
    answer.body.destroy()
    throw new ImageError(
      'IMAGE_SOURCE_BAD',
      `${shownUrl(answer.url)} answers with ${type || 'no type'}: this is no registry`,
    )
  }
  return type
}

/** A token must fit a header: anything else in it would end up there. */
function readToken(bytes: Buffer, url: URL): string {
  return asManifestError(() => {
    const r = new ShapeReader(`answer of ${shownUrl(url)}`)
    const o = r.object(parseJson(bytes, `answer of ${shownUrl(url)}`), '$')
    const token = r.string(o['token'] ?? o['access_token'], '$.token')
    if (!/^[\x21-\x7e]{1,16384}$/.test(token)) r.complain('$.token', 'is no token')
    r.finish()
    return token
  })
}
