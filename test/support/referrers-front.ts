import http from 'node:http'
import { type ImageAnswer, type ImageServer, serveImages } from './image-server.ts'
import { json } from './images.ts'
import { INDEX } from './repository.ts'

/** One entry of a list of referrers. */
interface Referrer {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: unknown
}

/** A registry with the referrers API of distribution-spec v1.1. */
export interface ReferrersFront extends ImageServer {
  /** Entries on a page. */
  pageSize: number
  /** What answers for a list of referrers instead, once it is set. */
  answer: ImageAnswer | undefined
}

/**
 * Stands before a registry that has no referrers API: what is pushed and pulled goes through, manifests with a `subject`
 * are taken down on their way, and lists of referrers are answered from these. Debian 12's docker-registry (2.8) has no
 * such API, no other registry is packaged there, and what has it in npm is no registry; so this is what there is to
 * test against, and every other byte is still the real registry's.
 */
export async function startReferrersFront(registry: string): Promise<ReferrersFront> {
  const referrers = new Map<string, Referrer[]>()
  const server = await serveImages((path, request, response) => {
    const url = new URL(path, 'http://front')
    const [, subject] = /^\/v2\/.+\/referrers\/(sha256:[0-9a-f]{64})$/.exec(url.pathname) ?? []
    if (subject === undefined) {
      pass(registry, request, response, (manifest, type, digest) => note(referrers, manifest, type, digest))
    } else if (front.answer !== undefined) front.answer(path, request, response)
    else list(referrers.get(subject) ?? [], url, front.pageSize, response)
  })
  const front: ReferrersFront = { ...server, pageSize: 1000, answer: undefined }
  return front
}

/** "Listing Referrers": an index with a link to the next page. Filters need not be supported, and are not. */
function list(all: readonly Referrer[], url: URL, pageSize: number, response: http.ServerResponse): void {
  const from = Number(url.searchParams.get('from') ?? 0)
  if (from + pageSize < all.length) {
    const next = new URL(url)
    next.searchParams.set('from', String(from + pageSize))
    response.setHeader('link', `<${next.pathname}${next.search}>; rel="next"`)
  }
  const manifests = all.slice(from, from + pageSize)
  response.setHeader('content-type', INDEX).end(json({ schemaVersion: 2, mediaType: INDEX, manifests }))
}

/** "Pushing Manifests with Subject" */
function note(referrers: Map<string, Referrer[]>, manifest: Buffer, mediaType: string, digest: string): void {
  const { subject, artifactType, config, annotations } = JSON.parse(manifest.toString('utf8'))
  if (subject === undefined) return
  const type = artifactType ?? config?.mediaType
  const entry = {
    mediaType,
    digest,
    size: manifest.length,
    ...(type && { artifactType: type }),
    ...(annotations && { annotations }),
  }
  referrers.set(subject.digest, [...(referrers.get(subject.digest) ?? []), entry])
}

function pass(
  registry: string,
  request: http.IncomingMessage,
  response: http.ServerResponse,
  onManifest: (bytes: Buffer, type: string, digest: string) => void,
): void {
  const body: Buffer[] = []
  request.on('data', (part: Buffer) => body.push(part))
  request.on('end', () => {
    const { method, url, headers } = request
    const call = http.request(`http://${registry}${url}`, { method, headers }, (answer) => {
      const digest = answer.headers['docker-content-digest']
      if (method === 'PUT' && url?.includes('/manifests/') && answer.statusCode === 201 && typeof digest === 'string') {
        onManifest(Buffer.concat(body), headers['content-type'] ?? '', digest)
      }
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    call.on('error', () => response.destroy())
    call.end(Buffer.concat(body))
  })
}
