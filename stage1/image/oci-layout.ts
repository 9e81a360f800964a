import fs from 'node:fs'
import { parseJson, ShapeReader } from '../manifest/index.ts'
import { ImageError } from './errors.ts'
import { type LayoutFiles, missing } from './layout-files.ts'
import { LIMITS } from './limits.ts'
import {
  asManifestError,
  choosePlatform,
  type Descriptor,
  hostPlatform,
  INDEX_TYPES,
  parseOciDocument,
  REF_NAME,
} from './oci.ts'
import type { ImageSource } from './source.ts'

/**
 * An OCI image layout (OCI image-spec v1.1, image-layout.md), in a directory or an archive.
 *
 * @param ref the ref name to take; without one the layout must hold one image for this machine
 */
export function openOciLayout(files: LayoutFiles, ref: string | undefined): ImageSource {
  return {
    root: async () => {
      const marker = files.read('oci-layout', LIMITS.configBytes, 'IMAGE_TOO_LARGE')
      if (marker === undefined) throw noLayout(files.shown)
      asManifestError(() => {
        const r = new ShapeReader(`${files.shown}/oci-layout`)
        const version = r.object(parseJson(marker, 'oci-layout'), '$')['imageLayoutVersion']
        if (version !== '1.0.0') r.complain('$.imageLayoutVersion', "must be '1.0.0'")
        r.finish()
      })
      const chosen = choose(readIndex(files), ref, files.shown)
      return { bytes: readDocument(files, chosen), mediaType: chosen.mediaType, digest: chosen.digest }
    },
    document: async (descriptor) => readDocument(files, descriptor),
    blob: (descriptor) => files.stream(blobName(descriptor)),
    tagged: async (tag) => {
      const named = readIndex(files).filter((m) => m.annotations.get(REF_NAME) === tag)
      const [only, ...others] = named
      if (only === undefined || others.length > 0) return undefined
      return { bytes: readDocument(files, only), mediaType: only.mediaType }
    },
    referrers: async () => undefined, // a layout has no such list; the fallback tag is looked up as any other
    relaxed: () => [],
    close: () => {},
  }
}

function readIndex(files: LayoutFiles): readonly Descriptor[] {
  const bytes = files.read('index.json', LIMITS.manifestBytes, 'IMAGE_TOO_LARGE')
  if (bytes === undefined) throw missing('index.json', files.shown)
  const index = parseOciDocument(bytes, INDEX_TYPES[0])
  if (index.kind !== 'index') throw new TypeError('parsed as an index')
  return index.manifests
}

function choose(manifests: readonly Descriptor[], ref: string | undefined, shown: string): Descriptor {
  const named = ref === undefined ? manifests : manifests.filter((m) => m.annotations.get(REF_NAME) === ref)
  if (named.length === 0) {
    const names = manifests.slice(0, 20).flatMap((m) => m.annotations.get(REF_NAME) ?? [])
    const there = names.length > 0 ? `there is ${names.join(', ')}` : 'its images have no names'
    throw new ImageError('IMAGE_NOT_FOUND', `${shown} holds no image${ref === undefined ? '' : ` '${ref}'`}; ${there}`)
  }
  return choosePlatform(named, hostPlatform())
}

function readDocument(files: LayoutFiles, descriptor: Descriptor): Buffer {
  if (descriptor.sizeBytes > LIMITS.manifestBytes) {
    throw new ImageError('IMAGE_TOO_LARGE', `manifest ${descriptor.digest} of ${descriptor.sizeBytes} bytes`)
  }
  const bytes = files.read(blobName(descriptor), descriptor.sizeBytes, 'IMAGE_SIZE_MISMATCH')
  if (bytes === undefined) throw missing(descriptor.digest, files.shown)
  return bytes
}

function blobName(descriptor: Descriptor): string {
  return `blobs/${descriptor.digest.replace(':', '/')}`
}

function noLayout(shown: string): ImageError {
  if (fs.statSync(shown, { throwIfNoEntry: false })?.isFile()) {
    return new ImageError('IMAGE_SOURCE_BAD', `${shown} is a file, but neither an .aci nor a .tar of images`)
  }
  return new ImageError('IMAGE_NOT_FOUND', `${shown} is no OCI image layout: it has no oci-layout file`)
}
