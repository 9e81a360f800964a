import { createHash, type Hash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { codeOf } from '../../attestation/base/index.ts'
import { ImageError } from './errors.ts'
import { LIMITS } from './limits.ts'
import type { Descriptor } from './oci.ts'
import { keepPart, partName, takePart } from './parts.ts'
import type { BlobTransfers } from './source.ts'
import { blobPath, type ImageStore, moveIntoPlace, storeError, storing } from './store.ts'

const READ_BYTES = 1024 * 1024
const FIRST_DELAY_MS = 100
/** After so much the disk is set to work. */
const SYNC_BYTES = 16 * 1024 * 1024
const fsync = promisify(fs.fsync)

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
  const fd = storing(store, () => {
    takePart(store, blob.digest, file)
    return fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW, 0o440)
  })
  let part: Part | undefined
  try {
    part = new Part(store, fd, blob)
    await fetchWhole(part, transfers, blob, onBytes, signal)
    await part.sync()
  } catch (err) {
    if (!WRONG_BYTES.has(codeOf(err) ?? '')) keepPart(store, blob.digest, file)
    throw err
  } finally {
    await part?.settled()
    fs.closeSync(fd)
  }
  moveIntoPlace(store, file, blobPath(store, blob.digest))
}

const WRONG_BYTES: ReadonlySet<string> = new Set(['IMAGE_SIZE_MISMATCH', 'IMAGE_DIGEST_MISMATCH'])

/** @returns when the part is the whole blob, and the right one */
async function fetchWhole(
  part: Part,
  transfers: BlobTransfers,
  blob: Descriptor,
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  let furthest = part.sizeBytes
  let resumptions = 0
  for (;;) {
    try {
      if (part.sizeBytes < blob.sizeBytes || !part.isWhole()) {
        if (part.sizeBytes >= blob.sizeBytes) part.cut(0) // left by somebody, and not what it should be
        const { start, bytes } = await transfers.open(blob, part.sizeBytes)
        part.cut(start)
        for await (const piece of bytes) {
          part.add(piece)
          onBytes(part.sizeBytes)
        }
      }
      part.verify()
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
      if (code === 'IMAGE_SOURCE_UNREACHABLE' && part.sizeBytes > furthest && resumptions < LIMITS.resumptions) {
        furthest = part.sizeBytes
        await wait(FIRST_DELAY_MS * 2 ** resumptions++, undefined, signal && { signal })
        continue
      }
      if (!transfers.elsewhere(blob.digest)) throw err
    }
  }
}

/** What has come of a blob: a file, and the digest of what is in it. */
class Part {
  readonly #store: ImageStore
  readonly #fd: number
  readonly #blob: Descriptor
  #hash: Hash
  sizeBytes = 0
  #unsynced = 0
  #syncing: Promise<void> | undefined
  #failure: unknown
  /** Whether what is there came in more than one transfer. */
  mixed = false

  constructor(store: ImageStore, fd: number, blob: Descriptor) {
    this.#store = store
    this.#fd = fd
    this.#blob = blob
    this.#hash = createHash('sha256')
    this.#hashWhatIsThere()
  }

  add(piece: Buffer): void {
    if (this.sizeBytes + piece.length > this.#blob.sizeBytes) {
      throw new ImageError('IMAGE_SIZE_MISMATCH', `${this.#blob.digest}: more than ${this.#blob.sizeBytes} bytes came`)
    }
    this.#hash.update(piece)
    storing(this.#store, () => {
      for (let at = 0; at < piece.length; ) {
        at += fs.writeSync(this.#fd, piece, at, piece.length - at, this.sizeBytes + at)
      }
    })
    this.sizeBytes += piece.length
    this.#unsynced += piece.length
    if (this.#unsynced < SYNC_BYTES || this.#syncing !== undefined) return
    this.#unsynced = 0
    this.#syncing = fsync(this.#fd).then(
      () => {
        this.#syncing = undefined
      },
      (err: unknown) => {
        this.#failure = err // the kernel tells such an error once
      },
    )
  }

  /** When nothing is being done with the descriptor any more. */
  async settled(): Promise<void> {
    await this.#syncing
  }

  /** Waits until all of it is on the disk, which has worked on it while it came. */
  async sync(): Promise<void> {
    await this.#syncing
    if (this.#failure === undefined) await fsync(this.#fd).catch((err: unknown) => (this.#failure = err))
    if (this.#failure !== undefined) throw storeError(this.#store, this.#failure)
  }

  /** Goes back to the start, unless the transfer goes on where the part ends. */
  cut(start: number): void {
    if (start === this.sizeBytes && start > 0) {
      this.mixed = true
      return
    }
    storing(this.#store, () => fs.ftruncateSync(this.#fd, 0))
    this.#hash = createHash('sha256')
    this.sizeBytes = 0
    this.mixed = false
  }

  isWhole(): boolean {
    return this.sizeBytes === this.#blob.sizeBytes && this.#digest() === this.#blob.digest
  }

  verify(): void {
    const { digest, sizeBytes } = this.#blob
    if (this.sizeBytes !== sizeBytes) {
      throw new ImageError('IMAGE_SIZE_MISMATCH', `${digest} has ${this.sizeBytes} bytes instead of ${sizeBytes}`)
    }
    if (this.#digest() !== digest) {
      throw new ImageError('IMAGE_DIGEST_MISMATCH', `${this.#digest()} came instead of ${digest}`)
    }
  }

  #digest(): string {
    return `sha256:${this.#hash.copy().digest('hex')}`
  }

  #hashWhatIsThere(): void {
    storing(this.#store, () => {
      const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
      for (;;) {
        const n = fs.readSync(this.#fd, buffer, 0, READ_BYTES, this.sizeBytes)
        if (n === 0) break
        this.#hash.update(buffer.subarray(0, n))
        this.sizeBytes += n
        if (this.sizeBytes > this.#blob.sizeBytes) break
      }
    })
    this.mixed = this.sizeBytes > 0
    if (this.sizeBytes > this.#blob.sizeBytes) this.cut(0)
  }
}
