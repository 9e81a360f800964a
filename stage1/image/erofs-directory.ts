import {
  BLOCK_BYTES,
  DIRENT_BYTES,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
  S_IFSOCK,
} from './erofs-format.ts'

/** What a name of a directory stands for. */
export interface DirectoryTarget {
  readonly nid: number
  readonly inode: { readonly mode: number }
}

/** Types in directory entries, by the type bits of a mode (Linux include/linux/fs_types.h). */
const FILE_TYPES: Readonly<Record<number, number>> = {
  [S_IFREG]: 1,
  [S_IFDIR]: 2,
  [S_IFCHR]: 3,
  [S_IFBLK]: 4,
  [S_IFIFO]: 5,
  [S_IFSOCK]: 6,
  [S_IFLNK]: 7,
}

/**
 * How the names of a directory fill its blocks. The kernel looks a name up by halving: blocks by their first names, then
 * the entries of one block. So `.` and `..` lie among the others, where their bytes put them.
 *
 * @param names all of them, in the order of their bytes
 * @returns with which name each block begins, and the size of all: the last block counts as far as it is filled
 */
export function directoryBlocks(names: readonly string[]): { readonly starts: number[]; readonly sizeBytes: number } {
  const starts: number[] = []
  let filled = BLOCK_BYTES
  for (const [i, name] of names.entries()) {
    const bytes = DIRENT_BYTES + name.length
    if (filled + bytes > BLOCK_BYTES) {
      starts.push(i)
      filled = 0
    }
    filled += bytes
  }
  return { starts, sizeBytes: (starts.length - 1) * BLOCK_BYTES + filled }
}

/** One block with names and what they stand for: first the entries, then the names without terminators, then zeros. */
export function directoryBlock(names: readonly string[], targets: readonly DirectoryTarget[]): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  let nameAt = names.length * DIRENT_BYTES
  for (const [i, name] of names.entries()) {
    const target = targets[i]
    const type = target === undefined ? undefined : FILE_TYPES[target.inode.mode & 0o170000]
    if (target === undefined || type === undefined) throw new RangeError('a name in a directory stands for nothing')
    block.writeUInt32LE(target.nid, i * DIRENT_BYTES) // of 8 bytes; the upper four stay 0
    block.writeUInt16LE(nameAt, i * DIRENT_BYTES + 8)
    block.writeUInt8(type, i * DIRENT_BYTES + 10)
    nameAt += block.write(name, nameAt, 'latin1')
  }
  return block
}
