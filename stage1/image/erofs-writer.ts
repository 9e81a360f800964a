import { directoryBlock, directoryBlocks } from './erofs-directory.ts'
import {
  BLOCK_BYTES,
  DATA_LAYOUT,
  EXTENDED_INODE_BYTES,
  isType,
  S_IFBLK,
  S_IFCHR,
  S_IFREG,
  SLOT_BYTES,
  SUPERBLOCK,
} from './erofs-format.ts'
import type { ErofsLayout, PlacedInode } from './erofs-layout.ts'

/** Puts `length` bytes of the tree's data, from `offset` on, into a buffer. */
export type ReadData = (into: Buffer, at: number, offset: number, length: number) => void

/** Of every rendered file: it names the format, not the image, which the tree digest does. */
const FILE_SYSTEM_UUID = Buffer.from('8e9f1a526c1b5d0e9a570b1e5c0a7e01', 'hex')
/** Times of files are those of their contents' last change (EROFS_FEATURE_COMPAT_MTIME). */
const COMPAT_MTIME = 2
const PIECE_BYTES = 1024 * 1024

/**
 * The bytes of a rendered file, from its start to its end: one read-only EROFS, not compressed, whose inodes are all of
 * the extended form (owners of 32 bits, times with nanoseconds). Nothing in them is of now or of this machine. The
 * directories of inode tables and data are as the layout says, and whatever lies between is zeros.
 * Source: Linux fs/erofs/erofs_fs.h; such files are mounted by Linux 5.4 and later.
 *
 * @param readData of the tree's regular files, by Inode.dataOffset
 * @returns pieces of whole blocks; each is there until the next one is asked for
 */
export function* erofsPieces(layout: ErofsLayout, readData: ReadData): Generator<Buffer> {
  const out = new Pieces()
  yield* out.add(superblock(layout))
  for (const placed of layout.inodes) {
    yield* out.addData(placed, 0, placed.sizeBytes - placed.tailBytes, readData)
    yield* out.fillUp(BLOCK_BYTES)
  }
  const metaOffset = layout.metaBlock * BLOCK_BYTES
  for (const [index, placed] of layout.inodes.entries()) {
    yield* out.addZeros(metaOffset + placed.nid * SLOT_BYTES - out.bytes)
    yield* out.add(extendedInode(placed, index + 1))
    yield* out.add(Buffer.from(placed.inode.xattrs, 'latin1'))
    yield* out.addData(placed, placed.sizeBytes - placed.tailBytes, placed.tailBytes, readData)
  }
  yield* out.fillUp(BLOCK_BYTES)
  yield* out.rest()
  if (out.bytes !== layout.blocks * BLOCK_BYTES) throw new TypeError('what was written is not what was laid out')
}

function superblock({ inodes, metaBlock, blocks }: ErofsLayout): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  const sb = block.subarray(SUPERBLOCK.offset, SUPERBLOCK.offset + SUPERBLOCK.bytes)
  sb.writeUInt32LE(SUPERBLOCK.magic, 0)
  sb.writeUInt32LE(COMPAT_MTIME, 8) // without a checksum of the superblock: the tree digest covers all
  sb.writeUInt8(SUPERBLOCK.blockBits, 12)
  sb.writeUInt16LE(inodes[0]?.nid ?? 0, 14) // of the root
  sb.writeBigUInt64LE(BigInt(inodes.length), 16)
  // 24: time of making, which counts for inodes of the compact form only
  sb.writeUInt32LE(blocks, 36)
  sb.writeUInt32LE(metaBlock, 40)
  sb.set(FILE_SYSTEM_UUID, 48)
  return block
}

/** @param number what 32-bit programs see as the inode's number; the nid is what others see */
function extendedInode(
  { inode, sizeBytes, firstBlock, blocks, tailBytes, links }: PlacedInode,
  number: number,
): Buffer {
  const h = Buffer.alloc(EXTENDED_INODE_BYTES)
  const layout = tailBytes > 0 ? DATA_LAYOUT.inline : DATA_LAYOUT.plain
  h.writeUInt16LE(1 | (layout << 1), 0) // bit 0: extended
  const xattrWords = inode.xattrs.length / 4
  h.writeUInt16LE(xattrWords === 0 ? 0 : xattrWords - 2, 2) // 1 is the header of 12 bytes, each more is 4 bytes
  h.writeUInt16LE(inode.mode, 4)
  h.writeBigUInt64LE(BigInt(sizeBytes), 8)
  h.writeUInt32LE(isDevice(inode.mode) ? encodeDevice(inode.device) : blocks > 0 ? firstBlock : 0xffffffff, 16)
  h.writeUInt32LE(number, 20)
  h.writeUInt32LE(inode.uid, 24)
  h.writeUInt32LE(inode.gid, 28)
  h.writeBigUInt64LE(BigInt(inode.mtime.seconds), 32)
  h.writeUInt32LE(inode.mtime.nanoseconds, 40)
  h.writeUInt32LE(links, 44)
  return h
}

function isDevice(mode: number): boolean {
  return isType(mode, S_IFCHR) || isType(mode, S_IFBLK)
}

/** new_encode_dev() of Linux include/linux/kdev_t.h */
function encodeDevice({ major, minor }: { readonly major: number; readonly minor: number }): number {
  return ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0
}

/** Bytes of any number made into pieces of one size. */
class Pieces {
  readonly #piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
  #filled = 0
  #passedOn = 0

  /** How many were added. */
  get bytes(): number {
    return this.#passedOn + this.#filled
  }

  *add(bytes: Buffer): Generator<Buffer> {
    yield* this.#fill(bytes.length, (at, from, length) => bytes.copy(this.#piece, at, from, from + length))
  }

  *addZeros(count: number): Generator<Buffer> {
    yield* this.#fill(count, (at, _, length) => this.#piece.fill(0, at, at + length))
  }

  *fillUp(unit: number): Generator<Buffer> {
    yield* this.addZeros((unit - (this.bytes % unit)) % unit)
  }

  /** Part of what a file, directory or symlink holds. @param from 0 or the start of a block */
  *addData({ inode, directory }: PlacedInode, from: number, length: number, readData: ReadData): Generator<Buffer> {
    if (length === 0) return
    if (directory !== undefined) {
      const { names, targets } = directory
      const { starts } = directoryBlocks(names)
      for (let n = from / BLOCK_BYTES, left = length; left > 0; n++, left -= BLOCK_BYTES) {
        const block = directoryBlock(names.slice(starts[n], starts[n + 1]), targets.slice(starts[n], starts[n + 1]))
        yield* this.add(block.subarray(0, left))
      }
    } else if (isType(inode.mode, S_IFREG)) {
      yield* this.#fill(length, (at, done, part) => readData(this.#piece, at, inode.dataOffset + from + done, part))
    } else yield* this.add(Buffer.from(inode.target, 'latin1').subarray(from, from + length))
  }

  /** The last piece. */
  *rest(): Generator<Buffer> {
    if (this.#filled > 0) yield* this.#pass()
  }

  *#fill(length: number, put: (at: number, from: number, length: number) => void): Generator<Buffer> {
    for (let done = 0; done < length; ) {
      const part = Math.min(length - done, PIECE_BYTES - this.#filled)
      put(this.#filled, done, part)
      this.#filled += part
      done += part
      if (this.#filled === PIECE_BYTES) yield* this.#pass()
    }
  }

  *#pass(): Generator<Buffer> {
    yield this.#piece.subarray(0, this.#filled)
    this.#passedOn += this.#filled
    this.#filled = 0
  }
}
