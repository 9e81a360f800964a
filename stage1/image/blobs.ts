import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import { ImageError } from './errors.ts'
import { blobPath, type ImageStore, moveIntoPlace, storeError } from './store.ts'
import { verifiedBlob } from './verified-blob.ts'

/** What a blob is expected to be. */
export interface ExpectedBlob {
  /** `sha256:<hex>` */
  readonly digest: string
  readonly sizeBytes: number
}

/**
 * Whether a blob is in the store and sound. One that is not sound is removed: whatever is fetched next takes its place.
 */
export async function hasBlob(store: ImageStore, expected: ExpectedBlob, signal?: AbortSignal): Promise<boolean> {
  try {
    for await (const _ of verifiedBlob(store, expected.digest, expected.sizeBytes, signal)) {
      // reading it to its end is the check
    }
    return true
  } catch (err) {
    const code = codeOf(err)
    if (code === 'IMAGE_RECORD_BAD') await fs.rm(blobPath(store, expected.digest), { force: true })
    if (code === 'IMAGE_RECORD_BAD' || code === 'IMAGE_BLOB_MISSING') return false
    throw err
  }
}

/**
 * Streams a blob into the store. Size and digest are checked while it streams; it gets its name only if both are right.
 *
 * @param work a private directory under the store's tmp
 * @param onBytes is told how many bytes have come so far
 * @throws ImageError IMAGE_SIZE_MISMATCH as soon as a byte too many comes, IMAGE_DIGEST_MISMATCH, IMAGE_NO_SPACE,
 *   IMAGE_STORE_FAILED, or what the source throws
 */
export async function storeBlob(
  store: ImageStore,
  expected: ExpectedBlob,
  source: AsyncIterable<Buffer>,
  work: string,
  onBytes?: (bytes: number) => void,
): Promise<void> {
  // several are stored at the same time, each once
  const temporary = path.join(work, `blob-${expected.digest.slice('sha256:'.length)}`)
  const found = await writeBlob(store, source, temporary, expected.sizeBytes, onBytes)
  if (found.sizeBytes !== expected.sizeBytes) {
    throw new ImageError(
      'IMAGE_SIZE_MISMATCH',
      `${expected.digest} has ${found.sizeBytes} bytes instead of ${expected.sizeBytes}`,
    )
  }
  if (found.digest !== expected.digest) {
    throw new ImageError('IMAGE_DIGEST_MISMATCH', `${found.digest} came instead of ${expected.digest}`)
  }
  moveIntoPlace(store, temporary, blobPath(store, found.digest))
}

/**
 * Streams a blob of unknown digest into the store, e.g. a local archive, and tells what it was.
 * @param beforeNamed is awaited when the digest is known and the blob has no name in the store yet
 */
export async function importBlob(
  store: ImageStore,
  source: AsyncIterable<Buffer>,
  work: string,
  maxBytes: number,
  beforeNamed: (blob: ExpectedBlob) => Promise<void>,
): Promise<ExpectedBlob> {
  const found = await writeBlob(store, source, path.join(work, 'blob'), maxBytes)
  await beforeNamed(found)
  moveIntoPlace(store, path.join(work, 'blob'), blobPath(store, found.digest))
  return found
}

async function writeBlob(
  store: ImageStore,
  source: AsyncIterable<Buffer>,
  file: string,
  maxBytes: number,
  onBytes?: (bytes: number) => void,
): Promise<ExpectedBlob> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  const handle = await fs.open(file, 'w', 0o440).catch((err: unknown) => Promise.reject(storeError(store, err)))
  try {
    for await (const chunk of source) {
      sizeBytes += chunk.length
      if (sizeBytes > maxBytes) {
        throw new ImageError('IMAGE_SIZE_MISMATCH', `more than ${maxBytes} bytes came`)
      }
      hash.update(chunk)
      await writing(store, handle.writeFile(chunk))
      onBytes?.(sizeBytes)
    }
    await writing(store, handle.sync())
  } finally {
    await handle.close()
  }
  return { digest: `sha256:${hash.digest('hex')}`, sizeBytes }
}

async function writing(store: ImageStore, work: Promise<unknown>): Promise<void> {
  try {
    await work
  } catch (err) {
    throw storeError(store, err)
  }
}
