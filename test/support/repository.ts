import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { json, sha256 } from './images.ts'

export const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const INDEX = 'application/vnd.oci.image.index.v1+json'

/** What a descriptor says of a document, beside its type. */
export interface Pushed {
  readonly digest: string
  readonly size: number
}

/** A repository in a registry that speaks plain HTTP and lets anybody push. */
export class Repository {
  readonly #host: string
  readonly #name: string

  /** @param host `host:port` */
  constructor(host: string, name: string) {
    this.#host = host
    this.#name = name
  }

  /** As signatures name it. */
  get reference(): string {
    return `${this.#host}/${this.#name}`
  }

  /** Pushes the blobs of a layout, and one of its manifests under a tag. */
  async pushLayout(directory: string, manifest: string, tag: string): Promise<void> {
    const blobs = join(directory, 'blobs/sha256')
    for (const name of readdirSync(blobs)) await this.pushBlob(readFileSync(join(blobs, name)))
    await this.pushManifest(tag, readFileSync(join(directory, 'blobs', manifest.replace(':', '/'))))
  }

  async pushBlob(bytes: Uint8Array): Promise<Pushed> {
    const start = await this.#send('POST', 'blobs/uploads/')
    const digest = sha256(bytes)
    const location = new URL(start.location, `http://${this.#host}`)
    location.searchParams.set('digest', digest)
    assert.equal((await this.#request('PUT', location.pathname + location.search, bytes)).status, 201)
    return { digest, size: bytes.length }
  }

  /** @param name a tag or the digest */
  async pushManifest(name: string, bytes: Uint8Array, type = MANIFEST): Promise<void> {
    assert.equal((await this.#send('PUT', `manifests/${name}`, bytes, type)).status, 201)
  }

  /** Pushes a manifest with an empty configuration, as tools do for what is no image. */
  async pushArtifact(
    layers: readonly unknown[],
    more: { readonly tag?: string; readonly artifactType?: string; readonly subject?: unknown } = {},
  ): Promise<Pushed> {
    const { tag, ...members } = more
    const config = { mediaType: 'application/vnd.oci.empty.v1+json', ...(await this.pushBlob(Buffer.from('{}'))) }
    const bytes = json({ schemaVersion: 2, mediaType: MANIFEST, config, layers, ...members })
    await this.pushManifest(tag ?? sha256(bytes), bytes)
    return { digest: sha256(bytes), size: bytes.length }
  }

  #send(method: string, what: string, body?: Uint8Array, type?: string) {
    return this.#request(method, `/v2/${this.#name}/${what}`, body, type)
  }

  #request(method: string, path: string, body?: Uint8Array, type = 'application/octet-stream') {
    return new Promise<{ status: number; location: string }>((resolve, reject) => {
      const call = request(`http://${this.#host}${path}`, { method, headers: { 'content-type': type } }, (answer) => {
        answer.resume()
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, location: answer.headers.location ?? '' }))
      })
      call.on('error', reject)
      call.end(body)
    })
  }
}
