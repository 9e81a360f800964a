import { createHash } from 'node:crypto'
import { codeOf } from '../../attestation/base/index.ts'
import { ImageError } from './errors.ts'
import type { HttpClient } from './http-client.ts'
import { type HttpAnswer, rangeOf, readBody, shownUrl, streamBody } from './http-get.ts'
import type { Relaxation } from './image.ts'
import { LIMITS } from './limits.ts'
import { type Descriptor, INDEX_TYPES, MANIFEST_TYPES } from './oci.ts'
import { RegistryEndpoint } from './registry-endpoint.ts'
import type { Mirror } from './registry-settings.ts'
import type { BlobTransfers, ImageSource } from './source.ts'

/** Which image of which registry, and what stands in for that registry. */
export interface RegistryRequest {
  readonly registry: string
  readonly repository: string
  readonly tag?: string
  /** `sha256:<hex>` of the manifest or index. */
  readonly digest?: string
  /** Asked before the registry, in this order. */
  readonly mirrors: readonly Mirror[]
  readonly environment: Readonly<Record<string, string | undefined>>
}

const ACCEPT = [...MANIFEST_TYPES, ...INDEX_TYPES].join(', ')
/** What one place may lack or do wrong while another one has it. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  'IMAGE_SOURCE_UNREACHABLE',
  'IMAGE_SOURCE_DENIED',
  'IMAGE_SOURCE_BAD',
  'IMAGE_NOT_FOUND',
  'IMAGE_BLOB_MISSING',
  'IMAGE_DIGEST_MISMATCH',
  'IMAGE_TOO_LARGE',
])

/** An image in a registry or its mirrors. Closing it closes the client. */
export function openRegistry(request: RegistryRequest, client: HttpClient): ImageSource {
  return new RegistrySource(request, client)
}

interface Place {
  readonly endpoint: RegistryEndpoint
  /** Whether it is believed what a tag stands for. */
  readonly tags: boolean
}

class RegistrySource implements ImageSource, BlobTransfers {
  readonly #request: RegistryRequest
  readonly #client: HttpClient
  /** Mirrors, and last the registry. */
  readonly #places: readonly Place[]
  readonly #registry: RegistryEndpoint
  /** How many places in front are not asked for a blob any more, by digest. */
  readonly #passedOver = new Map<string, number>()

  constructor(request: RegistryRequest, client: HttpClient) {
    this.#request = request
    this.#client = client
    const { registry, repository, environment } = request
    const endpoint = (host: string, name: string): RegistryEndpoint =>
      new RegistryEndpoint(client, { host, repository: name }, environment)
    this.#registry = endpoint(...atDockerHub(registry, repository))
    this.#places = [
      ...request.mirrors.map(({ host, prefix, tags }) => ({ endpoint: endpoint(host, prefix + repository), tags })),
      { endpoint: this.#registry, tags: true },
    ]
  }

  get transfers(): BlobTransfers {
    return this
  }

  async root(): Promise<{ bytes: Buffer; mediaType: string; digest?: string }> {
    const { tag, digest } = this.#request
    // The digest decides; a tag beside it is for people.
    if (digest !== undefined) return { ...(await this.#document(digest, ACCEPT, LIMITS.manifestBytes)), digest }
    return this.#firstOf(
      this.#places.filter((p) => p.tags),
      async ({ endpoint }) => {
        const answer = await endpoint.get(`manifests/${tag ?? 'latest'}`, ACCEPT)
        const mediaType = contentType(answer)
        return { bytes: await readBody(answer, LIMITS.manifestBytes), mediaType }
      },
    )
  }

  async document(descriptor: Descriptor): Promise<Buffer> {
    const maxBytes = Math.min(descriptor.sizeBytes + 1, LIMITS.manifestBytes)
    return (await this.#document(descriptor.digest, descriptor.mediaType, maxBytes)).bytes
  }

  async tagged(tag: string): Promise<{ bytes: Buffer; mediaType: string } | undefined> {
    const answer = await this.#getOrNothing(`manifests/${tag}`, ACCEPT)
    return answer && { bytes: await readBody(answer, LIMITS.manifestBytes), mediaType: contentType(answer) }
  }

  async referrers(digest: string): Promise<readonly Buffer[] | undefined> {
    const what = `referrers/${digest}`
    const pages: Buffer[] = []
    let bytesLeft = LIMITS.manifestBytes
    let answer = await this.#getOrNothing(what, INDEX_TYPES[0])
    // a registry without the list may answer something else than 404, as older ones do
    if (answer !== undefined && mediaTypeOf(answer) !== INDEX_TYPES[0]) {
      answer.body.destroy()
      return undefined
    }
    if (answer === undefined) return undefined
    for (;;) {
      const page = await readBody(answer, bytesLeft)
      pages.push(page)
      bytesLeft -= page.length
      const query = nextPage(answer)
      if (query === undefined) return pages
      if (pages.length === LIMITS.referrerPages) {
        throw new ImageError('IMAGE_TOO_LARGE', `${shownUrl(answer.url)} has more than ${pages.length} pages`)
      }
      answer = await this.#registry.get(what + query, INDEX_TYPES[0])
    }
  }

  async *blob(descriptor: Descriptor): AsyncGenerator<Buffer> {
    yield* (await this.open(descriptor, 0)).bytes
  }

  async open(descriptor: Descriptor, from: number): Promise<{ start: number; bytes: AsyncIterable<Buffer> }> {
    const { digest } = descriptor
    for (;;) {
      const place = this.#places[this.#passedOver.get(digest) ?? 0]
      if (place === undefined) throw new TypeError('the registry itself is never passed over')
      try {
        const answer = await place.endpoint.get(`blobs/${digest}`, '*/*', from)
        if (answer.status === 200) return { start: 0, bytes: streamBody(answer) }
        if (answer.status === 206 && rangeOf(answer)?.start === from) return { start: from, bytes: streamBody(answer) }
        answer.body.destroy()
        return { start: 0, bytes: streamBody(await place.endpoint.get(`blobs/${digest}`, '*/*')) }
      } catch (err) {
        if (!ELSEWHERE.has(codeOf(err) ?? '') || !this.elsewhere(digest)) throw err
      }
    }
  }

  elsewhere(digest: string): boolean {
    const passedOver = (this.#passedOver.get(digest) ?? 0) + 1
    if (passedOver >= this.#places.length) return false
    this.#passedOver.set(digest, passedOver)
    return true
  }

  relaxed(): readonly Relaxation[] {
    const relaxed: Relaxation[] = []
    if (this.#client.usedHttp) relaxed.push('http')
    if (!this.#client.verifiesCertificates) relaxed.push('tls')
    return relaxed
  }

  close(): void {
    this.#client.close()
  }

  /** A manifest or index by its digest. Its bytes are checked here too, so that a bad mirror is passed over. */
  #document(digest: string, accept: string, maxBytes: number): Promise<{ bytes: Buffer; mediaType: string }> {
    return this.#firstOf(this.#places, async ({ endpoint }) => {
      const answer = await endpoint.get(`manifests/${digest}`, accept)
      const mediaType = contentType(answer)
      const bytes = await readBody(answer, maxBytes)
      const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
      if (found !== digest) throw new ImageError('IMAGE_DIGEST_MISMATCH', `${found} came instead of ${digest}`)
      return { bytes, mediaType }
    })
  }

  /** The first place that has it. What the last one says is what is wrong: that is the registry itself. */
  async #firstOf<T>(places: readonly Place[], ask: (place: Place) => Promise<T>): Promise<T> {
    for (const place of places.slice(0, -1)) {
      try {
        return await ask(place)
      } catch (err) {
        if (!ELSEWHERE.has(codeOf(err) ?? '')) throw err
      }
    }
    return ask({ endpoint: this.#registry, tags: true })
  }

  /** Of the registry itself, for what need not be there. */
  async #getOrNothing(what: string, accept: string): Promise<HttpAnswer | undefined> {
    try {
      return await this.#registry.get(what, accept)
    } catch (err) {
      if (err instanceof ImageError && err.code === 'IMAGE_NOT_FOUND') return undefined
      throw err
    }
  }
}

/** Docker Hub answers under another name than people write, and keeps names without a slash in `library`. */
export function atDockerHub(registry: string, repository: string): [host: string, repository: string] {
  if (registry !== 'docker.io') return [registry, repository]
  return ['registry-1.docker.io', repository.includes('/') ? repository : `library/${repository}`]
}

/**
 * The query of the page behind an answer (distribution-spec v1.1, "Listing Referrers"; RFC 8288). It is asked for at the
 * place that gave this one, whatever else the link says: credentials are for that place alone.
 */
function nextPage({ headers, url }: HttpAnswer): string | undefined {
  const links = Array.isArray(headers.link) ? headers.link.join(', ') : (headers.link ?? '')
  const next = /<([^<>]{1,2000})>[^<>,]{0,200};\s*rel="?next"?\s*(?:[,;]|$)/i.exec(links)?.[1]
  if (next === undefined) return undefined
  const target = URL.canParse(next, url.href) ? new URL(next, url) : undefined
  if (target?.origin === url.origin && target.pathname === url.pathname && target.search !== '') return target.search
  throw new ImageError('IMAGE_SOURCE_BAD', `${shownUrl(url)} goes on at another place: ${next.slice(0, 200)}`)
}

function contentType(answer: HttpAnswer): string {
  const type = mediaTypeOf(answer)
  if (type === 'text/html' || type === '') {
    answer.body.destroy()
    throw new ImageError(
      'IMAGE_SOURCE_BAD',
      `${shownUrl(answer.url)} answers with ${type || 'no type'}: this is no registry`,
    )
  }
  return type
}

function mediaTypeOf(answer: HttpAnswer): string {
  return (answer.headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''
}
