import fs from 'node:fs'
import path from 'node:path'
import { type ImageStore, storing } from './store.ts'

const BUFFER_BYTES = 256 * 1024

/**
 * The data of all files of an image, one after the other as it came, until the image is rendered: in a file without a
 * name, which is gone with the process however that ends. What upper layers hide stays behind in it.
 */
export class Spool {
  readonly #store: ImageStore
  readonly #fd: number
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #filled = 0
  #written = 0

  /** @param directory see makeWorkDirectory; @throws ImageError IMAGE_NO_SPACE, IMAGE_STORE_FAILED */
  constructor(store: ImageStore, directory: string) {
    this.#store = store
    const file = path.join(directory, 'data')
    this.#fd = storing(store, () => fs.openSync(file, 'wx+', 0o600))
    storing(store, () => fs.rmSync(file))
  }

  /** Adds bytes at the end. @throws ImageError IMAGE_NO_SPACE, IMAGE_STORE_FAILED */
  write(bytes: Buffer): void {
    if (bytes.length > BUFFER_BYTES - this.#filled) this.#flush()
    if (bytes.length > BUFFER_BYTES) this.#append(bytes)
    else this.#filled += bytes.copy(this.#buffer, this.#filled)
  }

  /**
   * Puts `length` bytes from `offset` on into a buffer.
   * @throws ImageError IMAGE_STORE_FAILED, also where there are fewer
   */
  readonly read = (into: Buffer, at: number, offset: number, length: number): void => {
    this.#flush()
    storing(this.#store, () => {
      for (let done = 0; done < length; ) {
        const n = fs.readSync(this.#fd, into, at + done, length - done, offset + done)
        if (n === 0) throw new Error(`the data of an image ends at ${offset + done}`)
        done += n
      }
    })
  }

  close(): void {
    fs.closeSync(this.#fd)
  }

  #flush(): void {
    if (this.#filled === 0) return
    const filled = this.#filled
    this.#filled = 0
    this.#append(this.#buffer.subarray(0, filled))
  }

  #append(bytes: Buffer): void {
    storing(this.#store, () => {
      for (let done = 0; done < bytes.length; ) {
        const n = fs.writeSync(this.#fd, bytes, done, bytes.length - done, this.#written)
        done += n
        this.#written += n
      }
    })
  }
}
