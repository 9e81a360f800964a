import { once } from 'node:events'
import http from 'node:http'
import type net from 'node:net'
import { gzipSync } from 'node:zlib'
import { hostArchitecture, json, sha256, tar } from './images.ts'

export type ImageAnswer = (path: string, request: http.IncomingMessage, response: http.ServerResponse) => void

/** A server on loopback that answers as a test says. */
export interface ImageServer {
  /** `127.0.0.1:PORT` */
  readonly host: string
  /** Paths asked for, in order. */
  readonly asked: readonly string[]
  readonly stop: () => Promise<void>
}

export async function serveImages(answer: ImageAnswer): Promise<ImageServer> {
  const asked: string[] = []
  const server = http.createServer((request, response) => {
    asked.push(request.url ?? '')
    answer(request.url ?? '', request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as net.AddressInfo // it listens on TCP
  return {
    host: `127.0.0.1:${address.port}`,
    asked,
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** A small image, its manifest's bytes and its blobs by digest. */
export interface ServedImage {
  readonly type: string
  readonly manifest: Buffer
  readonly blobs: ReadonlyMap<string, Buffer>
  readonly layers: readonly Buffer[]
}

/** @param layerBytes size of the one file of each layer, which does not compress */
export function servedImage(layerBytes: readonly number[]): ServedImage {
  const tars = layerBytes.map((bytes, i) => tar([{ name: `file${i}`, data: noise(bytes, i + 1) }]))
  const layers = tars.map((t) => gzipSync(t, { level: 1 }))
  const config = json({
    os: 'linux',
    architecture: hostArchitecture(),
    config: { Cmd: ['/x'] },
    rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
  })
  const type = 'application/vnd.oci.image.manifest.v1+json'
  const describe = (bytes: Buffer, mediaType: string) => ({ mediaType, digest: sha256(bytes), size: bytes.length })
  const manifest = json({
    schemaVersion: 2,
    config: describe(config, 'application/vnd.oci.image.config.v1+json'),
    layers: layers.map((l) => describe(l, 'application/vnd.oci.image.layer.v1.tar+gzip')),
  })
  return { type, manifest, blobs: new Map([config, ...layers].map((b) => [sha256(b), b])), layers }
}

/** Answers with an image for any name and tag, honouring Range. */
export function answering(image: ServedImage): ImageAnswer {
  return (path, request, response) => {
    if (path.includes('/manifests/')) {
      response.setHeader('content-type', image.type).end(image.manifest)
      return
    }
    const blob = image.blobs.get(path.split('/').at(-1) ?? '')
    if (blob === undefined) response.writeHead(404).end()
    else sendBlob(blob, request, response)
  }
}

/** Sends a blob, or the rest of it from where the request says. */
export function sendBlob(blob: Buffer, request: http.IncomingMessage, response: http.ServerResponse): void {
  const from = Number(/^bytes=([0-9]+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  if (from === 0) response.writeHead(200, { 'content-length': blob.length }).end(blob)
  else if (from >= blob.length) response.writeHead(416).end()
  else {
    const range = `bytes ${from}-${blob.length - 1}/${blob.length}`
    response.writeHead(206, { 'content-length': blob.length - from, 'content-range': range }).end(blob.subarray(from))
  }
}

/** The same bytes for the same seed, of which no compressor makes less. */
export function noise(bytes: number, seed: number): Buffer {
  const out = Buffer.alloc(bytes)
  let x = seed
  for (let i = 0; i < bytes; i++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0
    out[i] = x >>> 24
  }
  return out
}
