import { hash } from 'node:crypto'
import fs from 'node:fs'
import { formatTreeDigest, type TreeDigest } from '../manifest/index.ts'

const BLOCK = 4096
const DIGEST = 32
const PER_BLOCK = BLOCK / DIGEST
const READ_BYTES = 1024 * 1024

/**
 * Takes the blocks of a hash tree as they become known. Level 0 has the hashes of data, each level above it those of the
 * level below; `index` counts the blocks of one level.
 */
export type TakeHashBlock = (level: number, index: number, block: Buffer) => void

/**
 * dm-verity root hash, fed with data in whole blocks. Hash type 1 (no salt here, so a block's hash is that of its 4096
 * bytes), SHA-256; each level is the hashes of the level below in blocks of 128, the last one filled up with zeros,
 * until one block is left, whose hash is the root.
 * Source: Linux Documentation/admin-guide/device-mapper/verity.rst; the same as `veritysetup format --salt=-`.
 */
export class VerityHasher {
  /** levels[0] is the block of hashes of data blocks that is being filled, levels[n] that of hashes of level n-1. */
  readonly #levels: { readonly block: Buffer; filled: number; passedOn: number }[] = []
  readonly #take: TakeHashBlock
  #dataBlocks = 0
  #single = ''

  /** @param take is given each block of the hash tree; it is reused afterwards */
  constructor(take: TakeHashBlock = () => {}) {
    this.#take = take
  }

  /** @param data a multiple of 4096 bytes */
  update(data: Buffer): void {
    if (data.length % BLOCK !== 0) throw new RangeError(`dm-verity hashes whole blocks of ${BLOCK} bytes`)
    for (let at = 0; at < data.length; at += BLOCK) {
      // One-shot hashing with a latin1 result is the fastest there is in Node: no object is made for a block.
      const digest = hash('sha256', data.subarray(at, at + BLOCK), 'binary')
      if (this.#dataBlocks === 0) this.#single = digest
      this.#dataBlocks++
      this.#add(0, digest)
    }
  }

  /**
   * @returns the root hash, 64 hex digits; the hasher must not be used after it
   * @throws RangeError when there was no data: dm-verity has no empty device
   */
  digest(): string {
    if (this.#dataBlocks === 0) throw new RangeError('dm-verity has no root hash of an empty file')
    // A single data block has no level above it: its own hash is the root.
    if (this.#dataBlocks === 1) return Buffer.from(this.#single, 'latin1').toString('hex')
    for (let n = 0; ; n++) {
      const level = this.#levels[n]
      if (level === undefined) throw new TypeError('each level feeds the next one')
      if (n === this.#levels.length - 1) return Buffer.from(this.#hashBlock(n), 'latin1').toString('hex')
      this.#flush(n)
    }
  }

  #add(n: number, digest: string): void {
    let level = this.#levels[n]
    if (level === undefined) {
      level = { block: Buffer.alloc(BLOCK), filled: 0, passedOn: 0 }
      this.#levels.push(level)
    }
    // A full block is passed on only when another hash comes: the last block of the top level is the root's.
    if (level.filled === PER_BLOCK * DIGEST) this.#flush(n)
    level.block.write(digest, level.filled, DIGEST, 'latin1')
    level.filled += DIGEST
  }

  #flush(n: number): void {
    this.#add(n + 1, this.#hashBlock(n))
  }

  #hashBlock(n: number): string {
    const level = this.#levels[n]
    if (level === undefined) throw new TypeError('each level feeds the next one')
    const block = level.block.fill(0, level.filled)
    this.#take(n, level.passedOn++, block)
    level.filled = 0
    return hash('sha256', block, 'binary')
  }
}

/**
 * Hashes a rendered file from its start to its end through an open descriptor.
 *
 * @param sizeBytes as fstat gave it; a file that turns out shorter or longer is refused
 * @param take see VerityHasher
 * @throws RangeError when the file is empty, no multiple of 4096 bytes, or of another size
 */
export function treeDigestOf(fd: number, sizeBytes: number, take?: TakeHashBlock): TreeDigest {
  if (sizeBytes % BLOCK !== 0) throw new RangeError(`${sizeBytes} bytes are no whole number of ${BLOCK}-byte blocks`)
  const hasher = new VerityHasher(take)
  const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, sizeBytes + BLOCK))
  let total = 0
  for (;;) {
    // A read may be short; blocks must be whole.
    let got = 0
    while (got < buffer.length) {
      const n = fs.readSync(fd, buffer, got, buffer.length - got, total + got)
      if (n === 0) break
      got += n
    }
    total += got
    if (total > sizeBytes) throw new RangeError(`the file grew beyond its ${sizeBytes} bytes while it was read`)
    hasher.update(buffer.subarray(0, got))
    if (got < buffer.length) break
  }
  if (total !== sizeBytes) throw new RangeError(`the file has ${total} bytes instead of ${sizeBytes}`)
  return formatTreeDigest(hasher.digest())
}
