import { fromUtf8 } from '../../attestation/base/index.ts'
import { ImageError } from './errors.ts'
import type { ImageOrigin, ImageRecord } from './image.ts'
import { LIMITS } from './limits.ts'
import { asManifestError, type Descriptor, MANIFEST_TYPES, parseOciDocument } from './oci.ts'
import { type ImageStore, readBlob } from './store.ts'

/** A blob that an image needs; its size where the image states it. */
export interface NeededBlob {
  /** `sha256:<hex>` */
  readonly digest: string
  readonly sizeBytes?: number
}

/**
 * The blobs that an image under one of its names consists of.
 * @throws ImageError IMAGE_BLOB_MISSING, IMAGE_RECORD_BAD or IMAGE_MANIFEST_BAD where the manifest cannot be read
 */
export function blobsOf(store: ImageStore, record: ImageRecord, origin: ImageOrigin): NeededBlob[] {
  const { manifestDigest, archiveDigest } = origin
  if (record.kind === 'aci') {
    return [{ digest: record.configDigest }, ...(archiveDigest === undefined ? [] : [{ digest: archiveDigest }])]
  }
  const { config, layers } = readManifest(store, manifestDigest)
  return [{ digest: manifestDigest }, config, ...layers]
}

/**
 * Whether the manifest that a name was fetched by is one of this image. Its digest is measured, and policies may go by
 * it.
 * @throws ImageError IMAGE_RECORD_BAD, and as blobsOf
 */
export function checkManifest(store: ImageStore, record: ImageRecord, { name, manifestDigest }: ImageOrigin): void {
  const config = record.kind === 'aci' ? manifestDigest : readManifest(store, manifestDigest).config.digest
  if (config !== record.configDigest) {
    throw new ImageError('IMAGE_RECORD_BAD', `${name} came with a manifest that is not of ${record.id}; fetch it again`)
  }
}

function readManifest(store: ImageStore, digest: string): { config: Descriptor; layers: readonly Descriptor[] } {
  const bytes = readBlob(store, digest, LIMITS.manifestBytes)
  const document = parseOciDocument(bytes, statedType(bytes))
  if (document.kind !== 'manifest') throw new TypeError('an image is recorded with its manifest, not with an index')
  return document
}

/** The manifest was checked by the type it came with; it need not state one itself. */
function statedType(bytes: Buffer): string {
  return asManifestError(() => {
    const value: unknown = JSON.parse(fromUtf8(bytes))
    const stated = typeof value === 'object' && value !== null && 'mediaType' in value ? value.mediaType : undefined
    return typeof stated === 'string' ? stated : MANIFEST_TYPES[0]
  })
}
