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
    const fd = openBlob(file, digest)
    const stream = fs.createReadStream('', { fd, highWaterMark: READ_BYTES, ...(signal && { signal }) })
    for await (const chunk of stream) {
      const piece = chunk as Buffer // a stream without an encoding gives Buffers
      bytes += piece.length
      hash.update(piece)
      if (held !== undefined) yield held
      held = piece
    }
  } catch (cause) {
    if (codeOf(cause) === 'ELOOP') throw changed(file, digest)
    if (codeOf(cause) !== 'ENOENT') throw cause
    throw new ImageError('IMAGE_BLOB_MISSING', `${digest} is not in the store; fetch the image again`, { cause })
  }
  if (bytes !== sizeBytes || `sha256:${hash.digest('hex')}` !== digest) throw changed(file, digest)
  if (held !== undefined) yield held
}

/** Members of a group write to the store: a link leads elsewhere, and a FIFO would be waited for. */
function openBlob(file: string, digest: string): number {
  const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
  if (fs.fstatSync(fd).isFile()) return fd
  fs.closeSync(fd)
  throw changed(file, digest)
}

function changed(file: string, digest: string): ImageError {
  return new ImageError(
    'IMAGE_RECORD_BAD',
    `${file} was changed: it is not ${digest}; remove it and fetch the image again`,
  )
}
