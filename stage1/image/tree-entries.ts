import { bad, type ErofsInode, ErofsReader } from './erofs.ts'
import { isType, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG } from './erofs-format.ts'
import { LIMITS } from './limits.ts'
import type { TarEntry, TarEntryType } from './tar.ts'

/** One file of a rendered tree as an archive would have it, and its data. */
export interface TreeEntry {
  readonly entry: TarEntry
  readonly data: Iterable<Buffer>
}

/**
 * Everything in a rendered tree, directories before what is in them, in the order of their names' bytes. The root is
 * the path `.`; the second and later names of a file are hardlinks to the first.
 *
 * @param fd of a verified tree
 * @throws ImageError IMAGE_TREE_CHANGED
 */
export function* treeEntries(fd: number): Generator<TreeEntry> {
  const reader = new ErofsReader(fd)
  const firstNames = new Map<number, string>()
  const directories = new Set<number>()
  let entries = 0
  function* walk(nid: number, path: string, depth: number): Generator<TreeEntry> {
    const inode = reader.inode(nid)
    if (++entries > LIMITS.entries * 2) throw bad('it has too many files')
    const first = firstNames.get(nid)
    if (first !== undefined) {
      yield { entry: entryOf(inode, 'hardlink', path, first), data: [] }
      return
    }
    if (!isType(inode.mode, S_IFDIR)) {
      if (inode.links > 1) firstNames.set(nid, path)
      const target = isType(inode.mode, S_IFLNK) ? reader.target(inode) : ''
      const regular = isType(inode.mode, S_IFREG)
      yield { entry: entryOf(inode, typeOf(inode.mode), path, target), data: regular ? reader.data(inode) : [] }
      return
    }
    if (directories.has(nid) || depth > LIMITS.depth + 1) throw bad('its directories go in circles')
    directories.add(nid)
    yield { entry: entryOf(inode, 'directory', path === '' ? '.' : path, ''), data: [] }
    for (const child of reader.entries(inode)) {
      yield* walk(child.nid, path === '' ? child.name : `${path}/${child.name}`, depth + 1)
    }
  }
  yield* walk(reader.rootNid, '', 0)
}

/**
 * The first `maxBytes` of a file in a rendered tree, following symlinks as the image would see them.
 * @returns undefined where there is no regular file
 */
export function readTreeFile(
  fd: number,
  path: string,
  maxBytes: number,
): { inode: ErofsInode; start: Buffer } | undefined {
  const reader = new ErofsReader(fd)
  let stack = [reader.inode(reader.rootNid)]
  const todo = path.split('/').reverse()
  for (let symlinks = 0, part = todo.pop(); part !== undefined; part = todo.pop()) {
    if (part === '' || part === '.') continue
    if (part === '..') {
      if (stack.length > 1) stack.pop()
      continue
    }
    const at = stack.at(-1)
    if (at === undefined || !isType(at.mode, S_IFDIR)) return undefined
    const wanted = part
    const found = [...reader.entries(at)].find((e) => e.name === wanted)
    if (found === undefined) return undefined
    const inode = reader.inode(found.nid)
    if (!isType(inode.mode, S_IFLNK)) {
      stack.push(inode)
      continue
    }
    const target = reader.target(inode)
    if (++symlinks > 40) return undefined
    if (target.startsWith('/')) stack = stack.slice(0, 1)
    todo.push(...target.split('/').reverse())
  }
  const inode = stack.at(-1)
  if (inode === undefined || !isType(inode.mode, S_IFREG)) return undefined
  const pieces: Buffer[] = []
  let bytes = 0
  for (const piece of maxBytes > 0 ? reader.data(inode) : []) {
    pieces.push(piece)
    bytes += piece.length
    if (bytes >= maxBytes) break
  }
  return { inode, start: Buffer.concat(pieces).subarray(0, maxBytes) }
}

const TYPES: Readonly<Record<number, TarEntryType>> = {
  [S_IFREG]: 'file',
  [S_IFLNK]: 'symlink',
  [S_IFCHR]: 'char',
  [S_IFBLK]: 'block',
  [S_IFIFO]: 'fifo',
}

function typeOf(mode: number): TarEntryType {
  const type = TYPES[mode & 0o170000]
  if (type === undefined) throw bad('it holds a file of a type that images do not have')
  return type
}

function entryOf(inode: ErofsInode, type: TarEntryType, path: string, linkPath: string): TarEntry {
  return {
    path,
    type,
    mode: inode.mode & 0o7777,
    uid: inode.uid,
    gid: inode.gid,
    size: type === 'file' ? inode.sizeBytes : 0,
    mtime: inode.mtime,
    linkPath,
    deviceMajor: type === 'char' || type === 'block' ? inode.device.major : 0,
    deviceMinor: type === 'char' || type === 'block' ? inode.device.minor : 0,
    xattrs: type === 'hardlink' ? new Map() : inode.xattrs,
  }
}
