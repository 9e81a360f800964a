import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import { type ImageId, imageId, type OciImageConfig, parseOciImageConfig, type TreeDigest } from '../manifest/index.ts'
import { readLocalFile, unpackAci } from './aci.ts'
import { hasBlob, importBlob, storeBlob } from './blobs.ts'
import { ImageError } from './errors.ts'
import type { FetchOptions } from './fetch-options.ts'
import type { ImageOrigin, ImageRecord, Relaxation, StoredImage } from './image.ts'
import { LIMITS } from './limits.ts'
import {
  asManifestError,
  choosePlatform,
  type Descriptor,
  hostPlatform,
  layerCompression,
  type OciDocument,
  parseOciDocument,
} from './oci.ts'
import { openOciLayout } from './oci-layout.ts'
import type { CheckedDocument, Provenance } from './provenance.ts'
import { manifestFromBlob, readRecord, writeOrigin, writeRecord } from './records.ts'
import { type ImageReference, parseReference } from './reference.ts'
import { openRegistry } from './registry.ts'
import { renderTree } from './render.ts'
import type { ImageSource } from './source.ts'
import { type ImageStore, makeWorkDirectory, readBlob, removeStaleWork } from './store.ts'
import { type Layer, unpackLayers, verifiedBlob } from './unpack.ts'
import { openVerifiedTree } from './verify.ts'

/** See fetchImage, which loads this. */
export async function pullImage(store: ImageStore, text: string, options: FetchOptions): Promise<StoredImage> {
  const reference = parseReference(text, options.cwd)
  removeStaleWork(store, new Date())
  const work = makeWorkDirectory(store)
  try {
    const pulled = await pull(store, reference, work, options)
    writeRecord(store, pulled.record)
    const origin: ImageOrigin = {
      name: reference.name,
      imageId: pulled.record.id,
      manifestDigest: pulled.manifestDigest,
      fetchedAt: new Date().toISOString(),
      relaxed: [...new Set(pulled.relaxed)].sort(),
      signers: pulled.provenance?.signers ?? [],
      ...(pulled.provenance && { policy: pulled.provenance.policy }),
    }
    writeOrigin(store, origin)
    return { ...pulled.record, origin }
  } finally {
    fs.rmSync(work, { recursive: true, force: true })
  }
}

interface Pulled {
  readonly record: ImageRecord
  readonly manifestDigest: string
  readonly relaxed: readonly Relaxation[]
  readonly provenance?: Provenance
}

async function pull(
  store: ImageStore,
  reference: ImageReference,
  work: string,
  options: FetchOptions,
): Promise<Pulled> {
  options.onProgress?.({ step: 'resolve', name: reference.name })
  const asked: readonly Relaxation[] = options.relax?.includes('image') ? ['image'] : []
  switch (reference.kind) {
    case 'stored':
      throw new ImageError(
        'IMAGE_REFERENCE_BAD',
        `'${reference.name}' says not where to fetch from; write docker://HOST/NAME:TAG, oci:/PATH:REF or /PATH/FILE.aci`,
      )
    case 'aci-file':
      return { ...(await pullAci(store, reference, work, options)), relaxed: asked }
    case 'oci-layout':
    case 'registry': {
      const source = openSource(reference, options)
      try {
        const pulled = await pullOci(store, reference.name, source, work, options)
        return { ...pulled, relaxed: [...asked, ...source.relaxed()] }
      } finally {
        source.close()
      }
    }
    default:
      return reference satisfies never
  }
}

function openSource(
  reference: Extract<ImageReference, { kind: 'registry' | 'oci-layout' }>,
  options: FetchOptions,
): ImageSource {
  if (reference.kind === 'oci-layout') return openOciLayout(reference.directory, reference.ref)
  const { registry, repository, tag, digest } = reference
  return openRegistry({
    registry,
    repository,
    ...(tag && { tag }),
    ...(digest && { digest }),
    plainHttp: options.relax?.includes('http') === true || options.insecureRegistries?.includes(registry) === true,
    verifyCertificate: options.relax?.includes('tls') !== true,
    environment: options.environment ?? {},
    ...(options.certificateAuthorities && { certificateAuthorities: options.certificateAuthorities }),
    ...(options.signal && { signal: options.signal }),
  })
}

async function pullOci(
  store: ImageStore,
  name: string,
  source: ImageSource,
  work: string,
  options: FetchOptions,
): Promise<Omit<Pulled, 'relaxed'>> {
  const { manifest, documents } = await resolveManifest(source)
  const { digest: manifestDigest, bytes } = documents[documents.length - 1] ?? documents[0]
  // before anything of the image is stored or unpacked
  const provenance = await options.checkProvenance?.({ kind: 'oci', name, documents, source })
  await storeBlob(store, { digest: manifestDigest, sizeBytes: bytes.length }, pieces(bytes), work)
  await fetchBlob(store, source, manifest.config, work, options)
  const config = asManifestError(() => parseOciImageConfig(readBlob(store, manifest.config.digest, LIMITS.configBytes)))
  verifyConfig(config, manifest.layers)
  for (const layer of manifest.layers) await fetchBlob(store, source, layer, work, options)
  const id = imageId(manifest.config.digest.replace(':', '-'))
  const rendered =
    renderedBefore(store, id) ??
    (await inScratch(work, options, async (root) => {
      const layers = manifest.layers.map((descriptor, i): Layer => {
        const diffId = config.diffIds[i]
        if (diffId === undefined) throw new TypeError('verifyConfig lets no layer without a DiffID pass')
        return { ...descriptor, compression: layerCompression(descriptor.mediaType), diffId }
      })
      const summary = await unpackLayers(store, layers, root, {
        stage1Program: options.stage1Program,
        ...(options.signal && { signal: options.signal }),
        onLayer: (layer) => options.onProgress?.({ step: 'unpack', layer: layer + 1, layers: layers.length }),
      })
      options.onProgress?.({ step: 'render' })
      return renderTree(store, root, work, summary.appliedXattrs > 0)
    }))
  return {
    record: recordOf(store, 'oci', id, manifest.config.digest, rendered),
    manifestDigest,
    ...(provenance && { provenance }),
  }
}

async function pullAci(
  store: ImageStore,
  { name, file }: Extract<ImageReference, { kind: 'aci-file' }>,
  work: string,
  options: FetchOptions,
): Promise<Omit<Pulled, 'relaxed'>> {
  const blob = await importBlob(store, readLocalFile(file, options.signal), work, LIMITS.blobBytes)
  return inScratch(work, options, async (root) => {
    options.onProgress?.({ step: 'unpack', layer: 1, layers: 1 })
    const aci = await unpackAci(store, blob, root, {
      stage1Program: options.stage1Program,
      ...(options.signal && { signal: options.signal }),
    })
    const manifestDigest = sha256(aci.manifest)
    const { name: manifestName } = asManifestError(() => manifestFromBlob('aci', aci.id, aci.manifest))
    const archive = () => verifiedBlob(store, blob.digest, blob.sizeBytes, options.signal)
    const provenance = await options.checkProvenance?.({ kind: 'aci', name, manifestName, archive, file })
    await storeBlob(store, { digest: manifestDigest, sizeBytes: aci.manifest.length }, pieces(aci.manifest), work)
    options.onProgress?.({ step: 'render' })
    const rendered = await renderTree(store, root, work, aci.appliedXattrs > 0)
    return {
      record: recordOf(store, 'aci', aci.id, manifestDigest, rendered),
      manifestDigest,
      ...(provenance && { provenance }),
    }
  })
}

interface Rendered {
  readonly digest: TreeDigest
  readonly sizeBytes: number
}

function recordOf(
  store: ImageStore,
  kind: 'oci' | 'aci',
  id: ImageId,
  configDigest: string,
  rendered: Rendered,
): ImageRecord {
  const manifest = asManifestError(() => manifestFromBlob(kind, id, readBlob(store, configDigest, LIMITS.configBytes)))
  return {
    version: 1,
    id,
    kind,
    configDigest,
    treeDigest: rendered.digest,
    treeSizeBytes: rendered.sizeBytes,
    manifest,
  }
}

/** Follows indexes to the manifest for this machine, checking each digest and size on the way; it is the last one. */
async function resolveManifest(source: ImageSource): Promise<{
  manifest: Extract<OciDocument, { kind: 'manifest' }>
  documents: readonly [CheckedDocument, ...CheckedDocument[]]
}> {
  const root = await source.root()
  let { bytes, mediaType } = root
  let digest = sha256(bytes)
  if (root.digest !== undefined && root.digest !== digest) {
    throw new ImageError('IMAGE_DIGEST_MISMATCH', `the manifest is ${digest}, ${root.digest} was asked for`)
  }
  const documents: [CheckedDocument, ...CheckedDocument[]] = [{ digest, bytes }]
  for (let depth = 0; ; depth++) {
    const document = parseOciDocument(bytes, mediaType)
    if (document.kind === 'manifest') return { manifest: document, documents }
    if (depth === LIMITS.indexDepth) {
      throw new ImageError('IMAGE_TOO_LARGE', `indexes are nested more than ${LIMITS.indexDepth} deep`)
    }
    const chosen = choosePlatform(document.manifests, hostPlatform())
    if (chosen.sizeBytes > LIMITS.manifestBytes) {
      throw new ImageError(
        'IMAGE_TOO_LARGE',
        `manifest of ${chosen.sizeBytes} bytes, at most ${LIMITS.manifestBytes} are allowed`,
      )
    }
    bytes = await source.document(chosen)
    mediaType = chosen.mediaType
    digest = sha256(bytes)
    if (bytes.length !== chosen.sizeBytes) {
      throw new ImageError(
        'IMAGE_SIZE_MISMATCH',
        `${chosen.digest} has ${bytes.length} bytes instead of ${chosen.sizeBytes}`,
      )
    }
    if (digest !== chosen.digest)
      throw new ImageError('IMAGE_DIGEST_MISMATCH', `${digest} came instead of ${chosen.digest}`)
    documents.push({ digest, bytes })
  }
}

function verifyConfig(config: OciImageConfig, layers: readonly Descriptor[]): void {
  const host = hostPlatform()
  if (config.os !== host.os || config.architecture !== host.architecture) {
    const itself = `${config.os}/${config.architecture}`
    throw new ImageError(
      'IMAGE_PLATFORM_MISSING',
      `the image is for ${itself}, this machine is ${host.os}/${host.architecture}`,
    )
  }
  if (config.diffIds.length !== layers.length) {
    throw new ImageError(
      'IMAGE_MANIFEST_BAD',
      `the manifest has ${layers.length} layers, the configuration ${config.diffIds.length} diff_ids`,
    )
  }
}

async function fetchBlob(
  store: ImageStore,
  source: ImageSource,
  descriptor: Descriptor,
  work: string,
  options: FetchOptions,
): Promise<void> {
  const { digest, sizeBytes: totalBytes } = descriptor
  const report = (doneBytes: number) => options.onProgress?.({ step: 'blob', digest, doneBytes, totalBytes })
  if (await hasBlob(store, descriptor, options.signal)) report(totalBytes)
  else await storeBlob(store, descriptor, source.blob(descriptor), work, report)
}

/** The tree of an image that was rendered before, if it still is what it was: rendering again would give the same. */
function renderedBefore(store: ImageStore, id: ImageId): Rendered | undefined {
  try {
    const record = readRecord(store, id)
    if (record === undefined) return undefined
    fs.closeSync(openVerifiedTree(store, record.treeDigest, { remember: false }).fd)
    return { digest: record.treeDigest, sizeBytes: record.treeSizeBytes }
  } catch (err) {
    const code = codeOf(err)
    // What is damaged is made anew; the fetch has just checked all that it is made from.
    if (code === 'IMAGE_RECORD_BAD' || code === 'IMAGE_TREE_MISSING' || code === 'IMAGE_TREE_CHANGED') return undefined
    throw err
  }
}

/** Runs with an empty directory to unpack into, and removes it whatever happens. */
async function inScratch<T>(work: string, options: FetchOptions, run: (root: string) => Promise<T>): Promise<T> {
  const scratch = options.scratchDir === undefined ? work : fs.mkdtempSync(path.join(options.scratchDir, 'holdfast-'))
  const root = path.join(scratch, 'root')
  try {
    fs.mkdirSync(root, { mode: 0o755 })
    return await run(root)
  } finally {
    fs.rmSync(scratch === work ? root : scratch, { recursive: true, force: true })
  }
}

function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Buffer> {
  yield Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
