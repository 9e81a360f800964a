import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { type ImageManifest, parseImageManifest, rootHashOf, valueNamed } from '../manifest/index.ts'
import { aciId, readAci, readAciManifest, readLocalFile, type UnpackedAci, unpackAci } from './aci.ts'
import { type ExpectedBlob, importBlob, storeBlob } from './blobs.ts'
import { answerError, downloadArchive } from './download-archive.ts'
import { ImageError } from './errors.ts'
import {
  type AdmittedAci,
  checkFound,
  checkId,
  type Dependencies,
  type WantedDependency,
} from './fetch-dependencies.ts'
import {
  blobPin,
  type FetchWork,
  hold,
  type Pulled,
  pieces,
  type Rendered,
  recordOf,
  sha256,
  withSpool,
} from './fetch-work.ts'
import { readGiven } from './given-files.ts'
import type { HttpClient } from './http-client.ts'
import { readBody } from './http-get.ts'
import type { StoredImage } from './image.ts'
import { LIMITS } from './limits.ts'
import { asManifestError, hostPlatform } from './oci.ts'
import type { CheckProvenance, Provenance } from './provenance.ts'
import type { ImageReference } from './reference.ts'
import { renderTree } from './render.ts'
import { verifiedBlob } from './verified-blob.ts'
import { openVerifiedTree } from './verify.ts'

const MAX_SIGNATURE_BYTES = 64 * 1024

/** An ACI by its place. */
export type AciReference = Extract<ImageReference, { kind: 'aci-file' | 'aci-url' }>

/** What appc calls machines that OCI calls otherwise. */
const APPC_ARCHITECTURES: Readonly<Record<string, string>> = { '386': 'i386', arm64: 'aarch64' }

/** Which ACI, and how it is held against what was asked for. */
export interface AciRequest {
  readonly reference: AciReference
  /** For a URL. */
  readonly client: HttpClient
  readonly checkProvenance?: CheckProvenance
  /** Where it is fetched because another one depends on it. */
  readonly wanted?: WantedDependency
  readonly dependencies: Dependencies
}

/**
 * Brings an ACI into the store and renders it over its dependencies, which are fetched before it where they are lacking.
 *
 * @returns also the images it depends on
 * @throws ImageError, or what checkProvenance throws
 */
export async function pullAci(
  work: FetchWork,
  request: AciRequest,
): Promise<Pulled & { readonly below: readonly StoredImage[] }> {
  const { store, directory } = work
  const admitted = await bring(work, request)
  const { blob, aci, manifestBytes, provenance } = admitted
  const below = await request.dependencies.of(aci)
  const { unpacked, rendered } = await render(work, blob, aci.manifest, below)
  if (!unpacked.manifest.equals(manifestBytes)) {
    throw new ImageError(
      'IMAGE_RECORD_BAD',
      `${blob.digest} was changed in the store while it was read; fetch it again`,
    )
  }
  if (request.wanted !== undefined) checkId(unpacked, request.wanted.dependency)
  const manifestDigest = sha256(unpacked.manifest)
  await hold(work, [{ kind: 'image', id: unpacked.id }, blobPin(manifestDigest)])
  await storeBlob(
    store,
    { digest: manifestDigest, sizeBytes: unpacked.manifest.length },
    pieces(unpacked.manifest),
    directory,
  )
  const dependencies = below.map((image) => image.id)
  const image = { kind: 'aci', id: unpacked.id, configDigest: manifestDigest } as const
  return {
    record: recordOf(store, { ...image, ...(dependencies.length > 0 && { dependencies }) }, rendered),
    manifestDigest,
    archiveDigest: blob.digest,
    ...(provenance && { provenance }),
    below,
  }
}

/** An archive in the store that was vouched for. */
interface Admitted {
  readonly blob: ExpectedBlob
  readonly aci: AdmittedAci
  readonly manifestBytes: Buffer
  readonly provenance: Provenance | undefined
}

/** What may be because an archive was put together from transfers of two files. */
const WRONGLY_MIXED: ReadonlySet<string> = new Set([
  'IMAGE_COMPRESSION_BAD',
  'IMAGE_LAYER_BAD',
  'IMAGE_MANIFEST_BAD',
  'IMAGE_TOO_LARGE',
  'IMAGE_DEPENDENCY_BAD',
  'IMAGE_SIGNATURE_BAD',
])

async function bring(work: FetchWork, request: AciRequest): Promise<Admitted> {
  const { store, directory, options } = work
  const { reference, client } = request
  if (reference.kind === 'aci-file') {
    const bytes = readLocalFile(reference.file, options.signal)
    const holding = ({ digest }: ExpectedBlob): Promise<void> => hold(work, [blobPin(digest)])
    return admit(work, request, await importBlob(store, bytes, directory, LIMITS.blobBytes, holding))
  }
  const { blob, mixed } = await downloadArchive(work, client, reference.url)
  if (!mixed) return admit(work, request, blob)
  try {
    await readWhole(work, request, blob)
    return await admit(work, request, blob)
  } catch (err) {
    if (!WRONGLY_MIXED.has(codeOf(err) ?? '')) throw err
    return admit(work, request, (await downloadArchive(work, client, reference.url, { resume: false })).blob)
  }
}

/** What vouches for an archive may be nobody; then its own checksums and the ID asked for are all there is. */
async function readWhole({ store, options }: FetchWork, { wanted }: AciRequest, blob: ExpectedBlob): Promise<void> {
  const hash = createHash('sha512')
  for await (const piece of readAci(store, blob, options.signal)) hash.update(piece)
  if (wanted !== undefined) checkId({ id: aciId(hash) }, wanted.dependency)
}

async function admit({ store, options }: FetchWork, request: AciRequest, blob: ExpectedBlob): Promise<Admitted> {
  const { reference, client, wanted, checkProvenance } = request
  const manifestBytes = await readAciManifest(store, blob, options.signal)
  const manifest = asManifestError(() => parseImageManifest(manifestBytes))
  const aci = { manifest, archiveDigest: blob.digest, ...(wanted && { neededBy: wanted.neededBy }) }
  if (wanted !== undefined) checkFound(aci, wanted)
  refuseForeign(manifest)
  const provenance = await checkProvenance?.({
    kind: 'aci',
    name: reference.name,
    manifestName: manifest.name,
    archive: () => verifiedBlob(store, blob.digest, blob.sizeBytes, options.signal),
    ...(reference.kind === 'aci-file' && { file: reference.file }),
    signature: () => signatureBeside(reference, client),
  })
  return { blob, aci, manifestBytes, provenance }
}

async function render(
  work: FetchWork,
  blob: ExpectedBlob,
  { pathWhitelist }: ImageManifest,
  below: readonly StoredImage[],
): Promise<{ unpacked: UnpackedAci; rendered: Rendered }> {
  const { store, options } = work
  await hold(
    work,
    below.map(({ treeDigest }) => ({ kind: 'tree', hex: rootHashOf(treeDigest) })),
  )
  const trees: number[] = []
  try {
    for (const { treeDigest } of below) trees.push(openVerifiedTree(store, treeDigest, { remember: false }).fd)
    return await withSpool(work, async (spool) => {
      options.onProgress?.({ step: 'unpack', layer: 1, layers: 1 })
      const rules = { below: trees, ...(pathWhitelist && { pathWhitelist }) }
      const unpacked = await unpackAci(store, blob, spool, rules, {
        ...(options.signal && { signal: options.signal }),
      })
      options.onProgress?.({ step: 'render' })
      return { unpacked, rendered: await renderTree(work, unpacked.root, spool) }
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
  if (reference.kind === 'aci-file') return signatureOf(reference.file)
  const answer = await client.follow(new URL(`${reference.url.href}.asc`), { accept: '*/*' })
  if (answer.status === 200) return readBody(answer, MAX_SIGNATURE_BYTES)
  answer.body.destroy()
  if (answer.status === 404 || answer.status === 410) return undefined
  throw answerError(answer)
}

function signatureOf(file: string): Buffer | undefined {
  try {
    return readGiven(`${file}.asc`, MAX_SIGNATURE_BYTES)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined
    throw new ImageError('IMAGE_SOURCE_BAD', `cannot read ${file}.asc: ${messageOf(cause)}`, { cause })
  }
}
