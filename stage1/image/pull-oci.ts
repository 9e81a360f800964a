import { imageId, type OciImageConfig, parseOciImageConfig } from '../manifest/index.ts'
import { hasBlob, storeBlob } from './blobs.ts'
import { downloadBlob } from './download.ts'
import { ImageError } from './errors.ts'
import {
  blobPin,
  type FetchWork,
  hold,
  type Pulled,
  pieces,
  recordOf,
  renderedBefore,
  withSpool,
} from './fetch-work.ts'
import { inParallel } from './in-parallel.ts'
import { type Layer, layLayers } from './layers.ts'
import { LIMITS } from './limits.ts'
import { asManifestError, type Descriptor, hostPlatform, layerCompression } from './oci.ts'
import { renderTree } from './render.ts'
import { resolveManifest } from './resolve-manifest.ts'
import type { ImageSource } from './source.ts'
import { readBlob } from './store.ts'

/**
 * Brings an OCI or docker image into the store and renders it.
 *
 * @param name the reference in its full form
 * @throws ImageError, ManifestError, or what checkProvenance throws
 */
export async function pullOci(work: FetchWork, name: string, source: ImageSource): Promise<Pulled> {
  const { store, options } = work
  const { manifest, documents } = await resolveManifest(source)
  const { digest: manifestDigest, bytes } = documents[documents.length - 1] ?? documents[0]
  // before anything of the image is stored or unpacked
  const provenance = await options.checkProvenance?.({ kind: 'oci', name, documents, source })
  const id = imageId(manifest.config.digest.replace(':', '-'))
  const digests = [manifestDigest, manifest.config.digest, ...manifest.layers.map((l) => l.digest)]
  await hold(work, [{ kind: 'image', id }, ...digests.map(blobPin)])
  await storeBlob(store, { digest: manifestDigest, sizeBytes: bytes.length }, pieces(bytes), work.directory)
  await fetchBlob(work, source, manifest.config, options.signal)
  const config = asManifestError(() => parseOciImageConfig(readBlob(store, manifest.config.digest, LIMITS.configBytes)))
  const layers = layersOf(config, manifest.layers)
  await inParallel(
    [...new Map(layers.map((l) => [l.digest, l])).values()], // an image may have a layer twice
    LIMITS.parallelDownloads,
    (layer, signal) => fetchBlob(work, source, layer, signal),
    options.signal,
  )
  const rendered = (await renderedBefore(work, id)) ?? (await render(work, layers))
  return {
    record: recordOf(store, { kind: 'oci', id, configDigest: manifest.config.digest }, rendered),
    manifestDigest,
    ...(provenance && { provenance }),
  }
}

function render(work: FetchWork, layers: readonly Layer[]): ReturnType<typeof renderTree> {
  const { store, options } = work
  return withSpool(work, async (spool) => {
    const root = await layLayers(store, layers, spool, {
      ...(options.signal && { signal: options.signal }),
      onLayer: (layer) => options.onProgress?.({ step: 'unpack', layer: layer + 1, layers: layers.length }),
    })
    options.onProgress?.({ step: 'render' })
    return renderTree(work, root, spool)
  })
}

/** Layers with their DiffIDs. @throws ImageError IMAGE_PLATFORM_MISSING, IMAGE_MANIFEST_BAD, IMAGE_UNSUPPORTED */
function layersOf(config: OciImageConfig, layers: readonly Descriptor[]): (Descriptor & Layer)[] {
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
  return config.diffIds.flatMap((diffId, i) => {
    const descriptor = layers[i]
    return descriptor === undefined
      ? []
      : [{ ...descriptor, compression: layerCompression(descriptor.mediaType), diffId }]
  })
}

async function fetchBlob(
  { store, directory, options }: FetchWork,
  source: ImageSource,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { digest, sizeBytes: totalBytes } = descriptor
  const report = (doneBytes: number) => options.onProgress?.({ step: 'blob', digest, doneBytes, totalBytes })
  if (await hasBlob(store, descriptor, signal)) report(totalBytes)
  else if (source.transfers === undefined)
    await storeBlob(store, descriptor, source.blob(descriptor), directory, report)
  else await downloadBlob(store, source.transfers, descriptor, directory, report, signal)
}
