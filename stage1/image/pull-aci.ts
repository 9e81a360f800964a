import fs from 'node:fs'
import { type ImageManifest, parseImageManifest, rootHashOf, valueNamed } from '../manifest/index.ts'
import { readAciManifest, readLocalFile, type UnpackedAci, unpackAci } from './aci.ts'
import { type ExpectedBlob, importBlob, storeBlob } from './blobs.ts'
import { resolveDependencies } from './dependencies.ts'
import { ImageError } from './errors.ts'
import {
  blobPin,
  type FetchWork,
  hold,
  inScratch,
  type Pulled,
  pieces,
  type Rendered,
  recordOf,
  sha256,
} from './fetch-work.ts'
import type { HttpClient } from './http-client.ts'
import { type HttpAnswer, readBody, shownUrl, streamBody } from './http-get.ts'
import type { StoredImage } from './image.ts'
import { LIMITS } from './limits.ts'
import { asManifestError, hostPlatform } from './oci.ts'
import type { ImageReference } from './reference.ts'
import { renderTree } from './render.ts'
import { readSmallFile } from './store.ts'
import { verifiedBlob } from './unpack.ts'
import { openVerifiedTree } from './verify.ts'

const MAX_SIGNATURE_BYTES = 64 * 1024

type AciReference = Extract<ImageReference, { kind: 'aci-file' | 'aci-url' }>

/** What appc calls machines that OCI calls otherwise. */
const APPC_ARCHITECTURES: Readonly<Record<string, string>> = { '386': 'i386', arm64: 'aarch64' }

/**
 * Brings an ACI into the store and renders it over its dependencies, which are there already.
 *
 * @param client for a URL
 * @returns also the images it depends on
 * @throws ImageError, or what checkProvenance throws
 */
export async function pullAci(
  work: FetchWork,
  reference: AciReference,
  client: HttpClient,
): Promise<Pulled & { readonly below: readonly StoredImage[] }> {
  const { store, directory, options } = work
  const bytes =
    reference.kind === 'aci-file' ? readLocalFile(reference.file, options.signal) : readUrl(work, client, reference.url)
  const blob = await importBlob(store, bytes, directory, LIMITS.blobBytes, ({ digest }) =>
    hold(work, [blobPin(digest)]),
  )
  const manifestBytes = await readAciManifest(store, blob, options.signal)
  const manifest = asManifestError(() => parseImageManifest(manifestBytes))
  refuseForeign(manifest)
  const archive = () => verifiedBlob(store, blob.digest, blob.sizeBytes, options.signal)
  const provenance = await options.checkProvenance?.({
    kind: 'aci',
    name: reference.name,
    manifestName: manifest.name,
    archive,
    ...(reference.kind === 'aci-file' && { file: reference.file }),
    signature: () => signatureBeside(reference, client),
  })
  const below = resolveDependencies(store, manifest.dependencies ?? [])
  const { aci, rendered } = await render(work, blob, manifest, below)
  if (!aci.manifest.equals(manifestBytes)) {
    throw new ImageError(
      'IMAGE_RECORD_BAD',
      `${blob.digest} was changed in the store while it was read; fetch it again`,
    )
  }
  const manifestDigest = sha256(aci.manifest)
  await hold(work, [{ kind: 'image', id: aci.id }, blobPin(manifestDigest)])
  await storeBlob(store, { digest: manifestDigest, sizeBytes: aci.manifest.length }, pieces(aci.manifest), directory)
  const dependencies = below.map((image) => image.id)
  const image = { kind: 'aci', id: aci.id, configDigest: manifestDigest } as const
  return {
    record: recordOf(store, { ...image, ...(dependencies.length > 0 && { dependencies }) }, rendered),
    manifestDigest,
    archiveDigest: blob.digest,
    ...(provenance && { provenance }),
    below,
  }
}

async function render(
  work: FetchWork,
  blob: ExpectedBlob,
  { pathWhitelist }: ImageManifest,
  below: readonly StoredImage[],
): Promise<{ aci: UnpackedAci; rendered: Rendered }> {
  const { store, options } = work
  await hold(
    work,
    below.map(({ treeDigest }) => ({ kind: 'tree', hex: rootHashOf(treeDigest) })),
  )
  const trees: number[] = []
  try {
    for (const { treeDigest } of below) trees.push(openVerifiedTree(store, treeDigest, { remember: false }).fd)
    return await inScratch(work, async (root) => {
      options.onProgress?.({ step: 'unpack', layer: 1, layers: 1 })
      const rules = { below: trees, ...(pathWhitelist && { pathWhitelist }) }
      const aci = await unpackAci(store, blob, root, rules, {
        stage1Program: options.stage1Program,
        ...(options.signal && { signal: options.signal }),
      })
      options.onProgress?.({ step: 'render' })
      return { aci, rendered: await renderTree(work, root, aci.appliedXattrs > 0) }
    })
  } finally {
    for (const fd of trees) fs.closeSync(fd)
  }
}

/** An ACI without these labels is for any machine. */
function refuseForeign({ labels }: ImageManifest): void {
  const host = hostPlatform()
  const [os, arch] = [valueNamed(labels, 'os') ?? host.os, valueNamed(labels, 'arch')]
  const own = [host.architecture, APPC_ARCHITECTURES[host.architecture] ?? host.architecture]
  if (os === host.os && (arch === undefined || own.includes(arch))) return
  throw new ImageError(
    'IMAGE_PLATFORM_MISSING',
    `the image is for ${os}/${arch ?? 'any machine'}, this machine is ${host.os}/${host.architecture}`,
  )
}

/** The detached signature that lies beside an archive: `NAME.aci.asc` (appc, "Image Archives"). */
async function signatureBeside(reference: AciReference, client: HttpClient): Promise<Buffer | undefined> {
  if (reference.kind === 'aci-file') return readSmallFile(`${reference.file}.asc`, MAX_SIGNATURE_BYTES)
  const answer = await client.follow(new URL(`${reference.url.href}.asc`), { accept: '*/*' })
  if (answer.status === 200) return readBody(answer, MAX_SIGNATURE_BYTES)
  answer.body.destroy()
  if (answer.status === 404 || answer.status === 410) return undefined
  throw urlError(answer)
}

async function* readUrl({ options }: FetchWork, client: HttpClient, url: URL): AsyncGenerator<Buffer> {
  const answer = await client.follow(url, { accept: '*/*' })
  if (answer.status !== 200) {
    answer.body.destroy()
    throw urlError(answer)
  }
  const stated = Number(answer.headers['content-length'] ?? Number.NaN)
  if (stated > LIMITS.blobBytes) {
    answer.body.destroy()
    throw new ImageError('IMAGE_TOO_LARGE', `${shownUrl(url)} has ${stated} bytes`)
  }
  let doneBytes = 0
  for await (const piece of streamBody(answer)) {
    doneBytes += piece.length
    options.onProgress?.({ step: 'blob', digest: url.href, doneBytes, totalBytes: Math.max(stated || 0, doneBytes) })
    yield piece
  }
}

function urlError({ url, status }: HttpAnswer): ImageError {
  const where = `${shownUrl(url)} answered ${status}`
  if (status === 404) return new ImageError('IMAGE_NOT_FOUND', where)
  if (status === 401 || status === 403) return new ImageError('IMAGE_SOURCE_DENIED', where)
  return new ImageError(status >= 500 ? 'IMAGE_SOURCE_UNREACHABLE' : 'IMAGE_SOURCE_BAD', where)
}
