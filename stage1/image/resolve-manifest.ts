import { ImageError } from './errors.ts'
import { sha256 } from './fetch-work.ts'
import { LIMITS } from './limits.ts'
import { choosePlatform, hostPlatform, type OciDocument, parseOciDocument } from './oci.ts'
import type { CheckedDocument } from './provenance.ts'
import type { ImageSource } from './source.ts'

/**
 * Follows indexes to the manifest for this machine, checking each digest and size on the way.
 * @returns all documents on the way; the manifest is the last one
 * @throws ImageError
 */
export async function resolveManifest(source: ImageSource): Promise<{
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
