import { parseJson, ShapeReader } from '../manifest/index.ts'
import { credentialsFor } from './credentials.ts'
import { ImageError } from './errors.ts'
import type { HttpClient } from './http-client.ts'
import { type HttpAnswer, readBody, shownUrl } from './http-get.ts'
import { asManifestError } from './oci.ts'

/** Where a repository is: a registry, or a mirror that has it under a prefix. */
export interface RegistryPlace {
  /** `host` or `host:port` */
  readonly host: string
  readonly repository: string
}

const MAX_TOKEN_BYTES = 64 * 1024

/** One repository in one registry (OCI distribution-spec v1.1, pulling), and the credentials for it. */
export class RegistryEndpoint {
  readonly #client: HttpClient
  readonly #place: RegistryPlace
  readonly #environment: Readonly<Record<string, string | undefined>>
  readonly #origin: string
  #authorization: string | undefined

  constructor(client: HttpClient, place: RegistryPlace, environment: Readonly<Record<string, string | undefined>>) {
    this.#client = client
    this.#place = place
    this.#environment = environment
    this.#origin = client.origin(place.host)
  }

  /**
   * GET below the repository: answers a challenge once, follows redirects.
   *
   * @param what `manifests/TAG`, `blobs/DIGEST`
   * @param from the first byte wanted, where it is not the first one there is
   * @returns an answer of status 200; 206 or 416 only where `from` was given
   * @throws ImageError
   */
  async get(what: string, accept: string, from = 0): Promise<HttpAnswer> {
    const url = new URL(`/v2/${this.#place.repository}/${what}`, this.#origin)
    const headers = { accept, ...(from > 0 && { range: `bytes=${from}-` }) }
    const sent = this.#authorization
    let answer = await this.#client.follow(url, headers, authorizationHeader(sent))
    if (answer.status === 401 && answer.url.origin === url.origin) {
      const challenge = answer.headers['www-authenticate'] ?? ''
      answer.body.destroy()
      // another request of ours may have got something newer meanwhile
      if (this.#authorization === sent) this.#authorization = await this.#authorize(challenge, url, sent)
      answer = await this.#client.follow(url, headers, authorizationHeader(this.#authorization))
    }
    if (answer.status === 200 || (from > 0 && (answer.status === 206 || answer.status === 416))) return answer
    answer.body.destroy()
    throw statusError(answer, what)
  }

  /** Answers a challenge of RFC 7617 (Basic), or of the distribution project's token protocol (Bearer). */
  async #authorize(challenge: string, url: URL, sent: string | undefined): Promise<string> {
    const { host, repository } = this.#place
    const basic = await credentialsFor(host, repository, this.#environment)
    if (/^basic\b/i.test(challenge)) {
      if (basic === undefined) throw denied(url, `no credentials for ${host}`)
      if (sent === `Basic ${basic}`) throw denied(url, 'the credentials were refused')
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
    // What is asked for is ours to say: a scope of the server's own making could name somebody else's repository.
    tokenUrl.searchParams.set('scope', `repository:${repository}:pull`)
    const service = parameters.get('service')
    if (service !== undefined) tokenUrl.searchParams.set('service', service)
    if (basic !== undefined) this.#refuseToLeak(tokenUrl, url)
    const answer = await this.#client.get(tokenUrl, {
      accept: 'application/json',
      ...(basic && { authorization: `Basic ${basic}` }),
    })
    if (answer.status !== 200) {
      answer.body.destroy()
      throw denied(url, `${shownUrl(tokenUrl)} gave no token (status ${answer.status})`)
    }
    return `Bearer ${readToken(await readBody(answer, MAX_TOKEN_BYTES), tokenUrl)}`
  }

  /** A registry may name another host for tokens, and they do; but nobody on the way may be able to do that. */
  #refuseToLeak(tokenUrl: URL, url: URL): void {
    if (tokenUrl.origin === url.origin) return
    if (tokenUrl.protocol === 'https:' && url.protocol === 'https:' && this.#client.verifiesCertificates) return
    throw new ImageError(
      'IMAGE_SOURCE_DENIED',
      `${shownUrl(url)} wants its credentials sent to ${tokenUrl.host}, and without verified TLS that is not done`,
    )
  }
}

function authorizationHeader(value: string | undefined): Readonly<Record<string, string>> {
  return value === undefined ? {} : { authorization: value }
}

function denied(url: URL, why: string): ImageError {
  return new ImageError(
    'IMAGE_SOURCE_DENIED',
    `${shownUrl(url)}: ${why}; put the right ones into $REGISTRY_AUTH_FILE or ~/.docker/config.json (docker login, skopeo login)`,
  )
}

function statusError(answer: HttpAnswer, what: string): ImageError {
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
