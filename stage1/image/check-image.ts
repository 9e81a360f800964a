import fs from 'node:fs'
import { messageOf } from '../../attestation/base/index.ts'
import type { ImageId } from '../manifest/index.ts'
import { ImageError } from './errors.ts'
import { checkHashTree } from './hash-tree.ts'
import type { ImageOrigin } from './image.ts'
import { blobsOf, checkManifest } from './image-blobs.ts'
import { readRecord } from './records.ts'
import { blobPath, type ImageStore } from './store.ts'
import { verifiedBlob } from './verified-blob.ts'
import { openVerifiedTree } from './verify.ts'

/**
 * Checks all that the store has of an image: its record against the blobs it was made from, every blob, the rendered
 * tree and its hash tree against their digests. All of it is read, whatever was verified before.
 *
 * @param origins all names of the image
 * @returns what is wrong, one sentence each; empty for a sound image
 */
export async function checkImage(store: ImageStore, id: ImageId, origins: readonly ImageOrigin[]): Promise<string[]> {
  const problems = new Set<string>()
  const noting = async (check: () => void | Promise<void>): Promise<void> => {
    try {
      await check()
    } catch (err) {
      if (!(err instanceof ImageError)) throw err
      problems.add(err.message)
    }
  }
  await noting(async () => {
    const record = readRecord(store, id)
    if (record === undefined) throw new ImageError('IMAGE_RECORD_BAD', `${id} has no record; fetch it again`)
    await noting(() => {
      fs.closeSync(openVerifiedTree(store, record.treeDigest, { remember: false }).fd)
      checkHashTree(store, record.treeDigest)
    })
    const blobs = new Map<string, number | undefined>()
    for (const origin of origins) {
      await noting(() => {
        checkManifest(store, record, origin)
        for (const { digest, sizeBytes } of blobsOf(store, record, origin)) blobs.set(digest, sizeBytes)
      })
    }
    for (const [digest, sizeBytes] of blobs) await noting(() => readWhole(store, digest, sizeBytes))
  })
  return [...problems]
}

async function readWhole(store: ImageStore, digest: string, sizeBytes: number | undefined): Promise<void> {
  const size = sizeBytes ?? sizeOf(store, digest)
  for await (const _ of verifiedBlob(store, digest, size)) {
    // reading it to its end is the check
  }
}

function sizeOf(store: ImageStore, digest: string): number {
  try {
    return fs.statSync(blobPath(store, digest)).size
  } catch (cause) {
    throw new ImageError('IMAGE_BLOB_MISSING', `${digest} is not in the store: ${messageOf(cause)}; fetch it again`, {
      cause,
    })
  }
}
