import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import { ImageError } from './errors.ts'
import type { Descriptor } from './oci.ts'
import { PartFile } from './part-file.ts'
import { keepPart, partName, takePart } from './parts.ts'
import { Resumptions } from './resumptions.ts'
import type { BlobTransfers } from './source.ts'
import { blobPath, type ImageStore, moveIntoPlace, storing } from './store.ts'

/**
 * Brings a blob from a network into the store. A transfer that breaks is taken up again where it broke; what came of
 * one that fails is kept for the next fetch. Size and digest are checked over the whole of it; what was put together
 * from several transfers and is wrong is fetched once more in one piece, and then from wherever else it may be.
 *
 * @param work a private directory under the store's tmp
 * @param onBytes is told how many bytes are there
 * @throws ImageError IMAGE_SIZE_MISMATCH, IMAGE_DIGEST_MISMATCH, IMAGE_NO_SPACE, IMAGE_STORE_FAILED, or what the source
 *   throws
 */
export async function downloadBlob(
  store: ImageStore,
  transfers: BlobTransfers,
  blob: Descriptor,
  work: string,
  onBytes: (bytes: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const file = path.join(work, partName(blob.digest))
  storing(store, () => takePart(store, blob.digest, file))
  const part = PartFile.open(store, file, { name: blob.digest, maxBytes: blob.sizeBytes })
  try {
    await fetchWhole(part, transfers, blob, onBytes, signal)
    await part.sync()
  } catch (err) {
    if (!WRONG_BYTES.has(codeOf(err) ?? '')) keepPart(store, blob.digest, file)
    throw err
  } finally {
    await part.close()
  }
  moveIntoPlace(store, file, blobPath(store, blob.digest))
}

const WRONG_BYTES: ReadonlySet<string> = new Set(['IMAGE_SIZE_MISMATCH', 'IMAGE_DIGEST_MISMATCH'])

/** @returns when the part is the whole blob, and the right one */
async function fetchWhole(
  part: PartFile,
  transfers: BlobTransfers,
  blob: Descriptor,
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const resumptions = new Resumptions(part.sizeBytes)
  for (;;) {
    try {
      if (part.sizeBytes < blob.sizeBytes || part.digest() !== blob.digest) {
        if (part.sizeBytes >= blob.sizeBytes) part.cut(0) // left by somebody, and not what it should be
        const { start, bytes } = await transfers.open(blob, part.sizeBytes)
        part.cut(start)
        for await (const piece of bytes) {
          part.add(piece)
          onBytes(part.sizeBytes)
        }
      }
      verify(part, blob)
      onBytes(part.sizeBytes)
      return
    } catch (err) {
      const code = codeOf(err) ?? ''
      if (signal?.aborted) throw err
      if (WRONG_BYTES.has(code)) {
        const mixed = part.mixed
        part.cut(0)
        if (mixed || transfers.elsewhere(blob.digest)) continue
        throw err
      }
      if (code !== 'IMAGE_SOURCE_UNREACHABLE' && code !== 'IMAGE_BLOB_MISSING') throw err
      if (code === 'IMAGE_SOURCE_UNREACHABLE' && (await resumptions.next(part.sizeBytes, signal))) continue
      if (!transfers.elsewhere(blob.digest)) throw err
    }
  }
}

function verify(part: PartFile, { digest, sizeBytes }: Descriptor): void {
  if (part.sizeBytes !== sizeBytes) {
    throw new ImageError('IMAGE_SIZE_MISMATCH', `${digest} has ${part.sizeBytes} bytes instead of ${sizeBytes}`)
  }
  const found = part.digest()
  if (found !== digest) throw new ImageError('IMAGE_DIGEST_MISMATCH', `${found} came instead of ${digest}`)
}
