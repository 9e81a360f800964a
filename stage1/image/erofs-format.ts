/**
 * What the reader and the writer of rendered trees share of EROFS, uncompressed and with blocks of 4096 bytes.
 * Source: Linux fs/erofs/erofs_fs.h (on-disk format).
 */
export const BLOCK_BYTES = 4096
export const SUPERBLOCK = { offset: 1024, bytes: 128, magic: 0xe0f5e1e2, blockBits: 12 } as const
/** A nid is the place of an inode in these, counted from the first block of metadata. */
export const SLOT_BYTES = 32
export const COMPACT_INODE_BYTES = 32
export const EXTENDED_INODE_BYTES = 64
/** Where the data of an inode is: all of it in blocks, or what is left of whole blocks behind the inode itself. */
export const DATA_LAYOUT = { plain: 0, inline: 2 } as const
/** nid, offset of the name in the block, type, a byte that is 0. */
export const DIRENT_BYTES = 12
/** Header in front of an inode's own extended attributes; each of them has 4 bytes in front and is filled up to 4. */
export const XATTR_HEADER_BYTES = 12
export const XATTR_ENTRY_BYTES = 4

/** Prefixes of names of extended attributes, by number. */
export const XATTR_PREFIXES: Readonly<Record<number, string>> = {
  1: 'user.',
  2: 'system.posix_acl_access',
  3: 'system.posix_acl_default',
  4: 'trusted.',
  6: 'security.',
}

export const S_IFIFO = 0o010000
export const S_IFCHR = 0o020000
export const S_IFDIR = 0o040000
export const S_IFBLK = 0o060000
export const S_IFREG = 0o100000
export const S_IFLNK = 0o120000
export const S_IFSOCK = 0o140000

/** Whether a mode is of a type of file. */
export function isType(mode: number, type: number): boolean {
  return (mode & 0o170000) === type
}
