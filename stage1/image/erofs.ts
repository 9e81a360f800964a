import fs from 'node:fs'
import {
  BLOCK_BYTES,
  COMPACT_INODE_BYTES,
  DATA_LAYOUT,
  DIRENT_BYTES,
  EXTENDED_INODE_BYTES,
  isType,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
  SLOT_BYTES,
  SUPERBLOCK,
  XATTR_ENTRY_BYTES,
  XATTR_HEADER_BYTES,
  XATTR_PREFIXES,
} from './erofs-format.ts'
import { ImageError } from './errors.ts'
import { LIMITS } from './limits.ts'

/** What a file in a rendered tree is. */
export interface ErofsInode {
  /** Where it is: the same for all names of one file. */
  readonly nid: number
  /** With the type bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly links: number
  readonly sizeBytes: number
  readonly mtime: { readonly seconds: number; readonly nanoseconds: number }
  /** Of a device. */
  readonly device: { readonly major: number; readonly minor: number }
  /** Where the data lies: whole blocks, then what is behind the inode itself. */
  readonly data: { readonly offset: number; readonly bytes: number; readonly tailOffset: number }
  readonly xattrs: ReadonlyMap<string, Buffer>
}

const MAX_DIRECTORY_BYTES = 256 * 1024 * 1024
const READ_BYTES = 1024 * 1024

/**
 * Reads a rendered tree: EROFS as erofs-writer.ts makes it, and mkfs.erofs without compression. The caller has verified the file by its
 * digest; still nothing in it is believed further than it can be checked, as a record could name any file.
 * Source: Linux fs/erofs/erofs_fs.h (on-disk format).
 */
export class ErofsReader {
  readonly #fd: number
  readonly #sizeBytes: number
  readonly #metaOffset: number
  readonly #xattrOffset: number
  readonly #buildTime: { readonly seconds: number; readonly nanoseconds: number }
  readonly rootNid: number

  /** @throws ImageError IMAGE_TREE_CHANGED for what is no such file */
  constructor(fd: number) {
    this.#fd = fd
    this.#sizeBytes = fs.fstatSync(fd).size
    const sb = this.#read(SUPERBLOCK.offset, SUPERBLOCK.bytes)
    if (sb.readUInt32LE(0) !== SUPERBLOCK.magic) throw bad('it has no EROFS superblock')
    if (sb.readUInt8(12) !== SUPERBLOCK.blockBits) throw bad('its blocks are not of 4096 bytes')
    this.rootNid = sb.readUInt16LE(14)
    this.#buildTime = { seconds: Number(sb.readBigUInt64LE(24)), nanoseconds: sb.readUInt32LE(32) }
    this.#metaOffset = sb.readUInt32LE(40) * BLOCK_BYTES
    this.#xattrOffset = sb.readUInt32LE(44) * BLOCK_BYTES
  }

  /** @throws ImageError IMAGE_TREE_CHANGED */
  inode(nid: number): ErofsInode {
    const at = this.#metaOffset + nid * SLOT_BYTES
    const h = this.#read(at, EXTENDED_INODE_BYTES, COMPACT_INODE_BYTES)
    const format = h.readUInt16LE(0)
    const extended = (format & 1) === 1
    if (extended && h.length < EXTENDED_INODE_BYTES) throw bad('an inode is cut off')
    const layout = (format >> 1) & 7
    const mode = h.readUInt16LE(4)
    const sizeBytes = extended ? Number(h.readBigUInt64LE(8)) : h.readUInt32LE(8)
    const inodeBytes = extended ? EXTENDED_INODE_BYTES : COMPACT_INODE_BYTES
    const xattrCount = h.readUInt16LE(2)
    const xattrBytes = xattrCount === 0 ? 0 : XATTR_HEADER_BYTES + 4 * (xattrCount - 1)
    const i = h.readUInt32LE(16)
    const hasData = isType(mode, S_IFREG) || isType(mode, S_IFDIR) || isType(mode, S_IFLNK)
    if (hasData && layout !== DATA_LAYOUT.plain && layout !== DATA_LAYOUT.inline)
      throw bad('a file is stored in a way that is not used here')
    if (sizeBytes > this.#sizeBytes) throw bad('a file is larger than the whole')
    const tail = layout === DATA_LAYOUT.inline ? sizeBytes % BLOCK_BYTES || Math.min(sizeBytes, BLOCK_BYTES) : 0
    return {
      nid,
      mode,
      uid: extended ? h.readUInt32LE(24) : h.readUInt16LE(24),
      gid: extended ? h.readUInt32LE(28) : h.readUInt16LE(26),
      links: extended ? h.readUInt32LE(44) : h.readUInt16LE(6),
      sizeBytes: hasData ? sizeBytes : 0,
      mtime: extended ? { seconds: Number(h.readBigUInt64LE(32)), nanoseconds: h.readUInt32LE(40) } : this.#buildTime,
      device: { major: (i & 0xfff00) >>> 8, minor: (i & 0xff) | ((i >>> 12) & 0xfff00) },
      data: {
        offset: i * BLOCK_BYTES,
        bytes: hasData ? sizeBytes - tail : 0,
        tailOffset: at + inodeBytes + xattrBytes,
      },
      xattrs: xattrBytes === 0 ? NO_XATTRS : this.#xattrs(at + inodeBytes, xattrBytes),
    }
  }

  /** Data in pieces of at most 1 MiB, each a buffer of its own. */
  *data(inode: ErofsInode): Generator<Buffer> {
    const { offset, bytes, tailOffset } = inode.data
    for (let at = 0; at < bytes; at += READ_BYTES) yield this.#read(offset + at, Math.min(READ_BYTES, bytes - at))
    if (inode.sizeBytes > bytes) yield this.#read(tailOffset, inode.sizeBytes - bytes)
  }

  /** The target of a symlink, one character for each byte. */
  target(inode: ErofsInode): string {
    if (inode.sizeBytes > LIMITS.pathBytes) throw bad('a symlink is too long')
    return Buffer.concat([...this.data(inode)]).toString('latin1')
  }

  /** Names and nids in a directory without `.` and `..`, in the order of their bytes. */
  *entries(directory: ErofsInode): Generator<{ readonly name: string; readonly nid: number }> {
    if (!isType(directory.mode, S_IFDIR)) throw bad('what should be a directory is none')
    if (directory.sizeBytes > MAX_DIRECTORY_BYTES) throw bad('a directory is too large')
    let before = ''
    for (const piece of this.data(directory)) {
      for (let at = 0; at < piece.length; at += BLOCK_BYTES) {
        for (const entry of entriesOfBlock(piece.subarray(at, at + BLOCK_BYTES))) {
          if (entry.name === '.' || entry.name === '..') continue
          if (entry.name <= before) throw bad('the names of a directory are not in order')
          before = entry.name
          yield entry
        }
      }
    }
  }

  #xattrs(at: number, bytes: number): ReadonlyMap<string, Buffer> {
    const body = this.#read(at, bytes)
    const shared = body.readUInt8(4)
    const found = new Map<string, Buffer>()
    if (XATTR_HEADER_BYTES + shared * 4 > bytes) throw bad('extended attributes are cut off')
    for (let n = 0; n < shared; n++) {
      const where = this.#xattrOffset + body.readUInt32LE(XATTR_HEADER_BYTES + n * 4) * 4
      const head = this.#read(where, XATTR_ENTRY_BYTES)
      addXattr(found, this.#read(where, XATTR_ENTRY_BYTES + head.readUInt8(0) + head.readUInt16LE(2)))
    }
    for (let from = XATTR_HEADER_BYTES + shared * 4; from + XATTR_ENTRY_BYTES <= bytes; ) {
      const length = XATTR_ENTRY_BYTES + body.readUInt8(from) + body.readUInt16LE(from + 2)
      if (from + length > bytes) throw bad('extended attributes are cut off')
      if (length > XATTR_ENTRY_BYTES) addXattr(found, body.subarray(from, from + length))
      from += Math.ceil(length / 4) * 4
    }
    return found
  }

  /** @param atLeast fewer bytes than `length` will do at the end of the file */
  #read(at: number, length: number, atLeast = length): Buffer {
    const buffer = Buffer.alloc(length)
    let got = 0
    while (got < length) {
      const n = fs.readSync(this.#fd, buffer, got, length - got, at + got)
      if (n === 0) break
      got += n
    }
    if (got < atLeast) throw bad('something in it points behind its end')
    return buffer.subarray(0, got)
  }
}

const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map()

/** The error for a rendered file that is not as ours are. */
export function bad(why: string): ImageError {
  return new ImageError('IMAGE_TREE_CHANGED', `this is no rendered tree: ${why}; fetch the image again`)
}

function* entriesOfBlock(block: Buffer): Generator<{ name: string; nid: number }> {
  const first = block.length < DIRENT_BYTES ? 0 : block.readUInt16LE(8)
  if (first < DIRENT_BYTES || first % DIRENT_BYTES !== 0 || first > block.length) throw bad('a directory is malformed')
  for (let at = 0; at < first; at += DIRENT_BYTES) {
    const start = block.readUInt16LE(at + 8)
    const end = at + DIRENT_BYTES < first ? block.readUInt16LE(at + DIRENT_BYTES + 8) : block.length
    if (start < first || end <= start || end > block.length) throw bad('a directory is malformed')
    const name = block.toString('latin1', start, end).replace(/\0+$/, '') // the last name of a block is filled up
    if (name === '' || name.includes('/') || name.includes('\0')) throw bad('a directory has a malformed name')
    const nid = block.readBigUInt64LE(at)
    if (nid > 0xffffffffn) throw bad('a directory points nowhere')
    yield { name, nid: Number(nid) }
  }
}

/** One entry: length of name, number of prefix, size of value, name, value. */
function addXattr(found: Map<string, Buffer>, entry: Buffer): void {
  const nameLength = entry.readUInt8(0)
  const prefix = XATTR_PREFIXES[entry.readUInt8(1)]
  if (prefix === undefined) throw bad('an extended attribute of an unknown kind')
  found.set(
    prefix + entry.toString('latin1', XATTR_ENTRY_BYTES, XATTR_ENTRY_BYTES + nameLength),
    Buffer.from(entry.subarray(XATTR_ENTRY_BYTES + nameLength)),
  )
}
