import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { codeOf } from '../../attestation/base/index.ts'
import { ImageError } from './errors.ts'
import { blobPath, type ImageStore } from './store.ts'

const READ_BYTES = 1024 * 1024

/**
 * The bytes of a blob in the store, hashed as they pass. The last piece is held back until the digest is known to be
 * right, so no reader sees the end of a changed blob.
 */
export async function* verifiedBlob(
  store: ImageStore,
  digest: string,
  sizeBytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const file = blobPath(store, digest)
  const hash = createHash('sha256')
  let bytes = 0
  let held: Buffer | undefined
  try {
    for await (const chunk of fs.createReadStream(file, { highWaterMark: READ_BYTES, ...(signal && { signal }) })) {
      const piece = chunk as Buffer // a stream without an encoding gives Buffers
      bytes += piece.length
      hash.update(piece)
      if (held !== undefined) yield held
      held = piece
    }
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') throw cause
    throw new ImageError('IMAGE_BLOB_MISSING', `${digest} is not in the store; fetch the image again`, { cause })
  }
  if (bytes !== sizeBytes || `sha256:${hash.digest('hex')}` !== digest) {
    throw new ImageError(
      'IMAGE_RECORD_BAD',
      `${file} was changed: it is not ${digest}; remove it and fetch the image again`,
    )
  }
  if (held !== undefined) yield held
}
