import { createHash, type Hash } from 'node:crypto'
import fs from 'node:fs'
import { promisify } from 'node:util'
import { ImageError } from './errors.ts'
import { type ImageStore, storeError, storing } from './store.ts'

const READ_BYTES = 1024 * 1024
/** After so much the disk is set to work. */
const SYNC_BYTES = 16 * 1024 * 1024
const fsync = promisify(fs.fsync)

/** What is being put into a file of the store from a network. */
export interface PartSubject {
  /** For messages. */
  readonly name: string
  readonly maxBytes: number
}

/** What has come of a blob so far: a file, and the digest of what is in it. */
export class PartFile {
  readonly #store: ImageStore
  readonly #fd: number
  readonly #subject: PartSubject
  #hash: Hash
  sizeBytes = 0
  #unsynced = 0
  #syncing: Promise<void> | undefined
  #failure: unknown
  /** Whether what is there came in more than one transfer. */
  mixed = false

  /** Opens a file, which may hold what an earlier fetch has left. */
  static open(store: ImageStore, file: string, subject: PartSubject): PartFile {
    const flags = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW
    const fd = storing(store, () => fs.openSync(file, flags, 0o440))
    try {
      return new PartFile(store, fd, subject)
    } catch (err) {
      fs.closeSync(fd)
      throw err
    }
  }

  private constructor(store: ImageStore, fd: number, subject: PartSubject) {
    this.#store = store
    this.#fd = fd
    this.#subject = subject
    this.#hash = createHash('sha256')
    this.#hashWhatIsThere()
  }

  /** @throws ImageError IMAGE_SIZE_MISMATCH, IMAGE_NO_SPACE, IMAGE_STORE_FAILED */
  add(piece: Buffer): void {
    const { name, maxBytes } = this.#subject
    if (this.sizeBytes + piece.length > maxBytes) {
      throw new ImageError('IMAGE_SIZE_MISMATCH', `${name}: more than ${maxBytes} bytes came`)
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

  /** `sha256:<hex>` of what is there. */
  digest(): string {
    return `sha256:${this.#hash.copy().digest('hex')}`
  }

  /** When nothing is being done with the descriptor any more. */
  async close(): Promise<void> {
    await this.#syncing
    fs.closeSync(this.#fd)
  }

  #hashWhatIsThere(): void {
    const { maxBytes } = this.#subject
    storing(this.#store, () => {
      const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
      for (;;) {
        const n = fs.readSync(this.#fd, buffer, 0, READ_BYTES, this.sizeBytes)
        if (n === 0) break
        this.#hash.update(buffer.subarray(0, n))
        this.sizeBytes += n
        if (this.sizeBytes > maxBytes) break
      }
    })
    this.mixed = this.sizeBytes > 0
    if (this.sizeBytes > maxBytes) this.cut(0)
  }
}
