import { isType, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG } from './erofs-format.ts'
import { encodeXattrs } from './erofs-xattrs.ts'
import { ImageError } from './errors.ts'
import type { Inode, TreeDirectory } from './inode.ts'
import { LIMITS } from './limits.ts'
import type { Attributes, Operation } from './operations.ts'
import type { TarEntry, TarEntryType } from './tar.ts'
import { pathComponents, shownPath, unsafe } from './tree-path.ts'
import { selectXattrs } from './xattrs.ts'

const WHITEOUT = '.wh.'
/** Names that aufs used for its own files; only the opaque marker among them means something in a layer. */
const AUFS = '.wh..wh.'
const OPAQUE = '.wh..wh..opq'
const MAX_SYMLINKS = 40
const MAX_ID = 4294967294 // 4294967295 is (uid_t)-1, which chown takes for "leave as it is"
/**
 * Times outside 1970-01-01..2100-01-01 are moved to its ends: disks differ in what they hold, and a tree that is
 * extracted to one and made into an image again is to be the same.
 */
const MAX_TIME = 4_102_444_800

const TYPE_BITS: Readonly<Record<Exclude<TarEntryType, 'hardlink'>, number>> = {
  file: S_IFREG,
  directory: S_IFDIR,
  symlink: S_IFLNK,
  char: S_IFCHR,
  block: S_IFBLK,
  fifo: S_IFIFO,
}
const NO_DEVICE = { major: 0, minor: 0 }
const NO_DATA = { device: NO_DEVICE, target: '', xattrs: '', sizeBytes: 0, dataOffset: 0 } as const
/** What a directory is that no layer describes. */
const IMPLICIT: Inode = { ...NO_DATA, mode: S_IFDIR | 0o755, uid: 0, gid: 0, mtime: { seconds: 0, nanoseconds: 0 } }

interface Directory {
  readonly children: Map<string, Node>
  inode: Inode
  /** The last layer that names this directory itself. */
  layer: number
  /** The last layer that names it or anything in it. */
  touched: number
}
interface Leaf {
  readonly children?: never
  readonly inode: Inode
  readonly layer: number
}
type Node = Directory | Leaf
/** Names that stay in a directory, and what stays in each. */
type Kept = Map<string, Kept>

/** Where operations go, in order. A file's data follows its operation by other means. */
export type OperationSink = (op: Operation, data?: Buffer) => void

/**
 * The tree that layers make when they are laid over each other: it decides where each entry goes and what it replaces.
 * For those who make it on a disk as it grows it says so in operations whose paths are free of symlinks, '..' and doubt;
 * for others the result is what finish() gives. Pure: it knows the tree, it touches no disk.
 *
 * Rules, where the specifications leave room (tested over the whole set of cases):
 * - A parent that is a symlink is followed inside the image, never out of it, to a directory that is there; else
 *   refused.
 * - An entry replaces what is at its path; a directory over a directory keeps the contents and takes the new
 *   attributes.
 * - A missing parent is made, 0755, root's, of 1970.
 * - A hardlink is to a file that is there, also of a lower layer; a symlink is linked to itself, not to its target.
 * - Whiteouts hide what lower layers have, never what their own layer has, in whatever order they come.
 * - With `replaceLowerSymlinks` a parent that is a symlink of a lower layer is not followed but replaced by a directory.
 * Source: OCI image-spec v1.1, layer.md; App Container specification v0.8.11, "Filesystem Setup".
 */
export class LayerTree {
  readonly #emit: OperationSink
  readonly #whiteouts: boolean
  readonly #replaceLowerSymlinks: boolean
  readonly #root: Directory = newDirectory(0)
  #layer = 0
  #entries = 0
  #textBytes = 0
  #dataBytes = 0

  /**
   * @param options.whiteouts false for an ACI, where such names are ordinary
   * @param options.replaceLowerSymlinks true for an ACI over its dependencies
   */
  constructor(emit: OperationSink, options: { readonly whiteouts: boolean; readonly replaceLowerSymlinks?: boolean }) {
    this.#emit = emit
    this.#whiteouts = options.whiteouts
    this.#replaceLowerSymlinks = options.replaceLowerSymlinks === true
  }

  /** All that is added from now on belongs to the next layer. */
  nextLayer(): void {
    this.#layer++
  }

  /**
   * Adds an entry and emits what it takes.
   *
   * @returns whether the entry's data belongs to the operation that was emitted last; otherwise the data is to be
   * ignored
   * @throws ImageError IMAGE_LAYER_BAD, IMAGE_TOO_LARGE, IMAGE_UNSUPPORTED
   */
  add(entry: TarEntry): boolean {
    if (++this.#entries > LIMITS.entries) {
      throw new ImageError('IMAGE_TOO_LARGE', `more than ${LIMITS.entries} entries in the image`)
    }
    const parts = pathComponents(entry.path, 'name')
    if (this.#whiteouts && parts.some((p) => p.startsWith(WHITEOUT))) {
      this.#whiteout(entry, parts)
      return false
    }
    const name = parts.pop()
    if (name === undefined) {
      if (entry.type !== 'directory') throw unsafe(entry.path, `the root cannot be a ${entry.type}`)
      this.#describe(this.#root, '', entry)
      return false
    }
    const { directory, path } = this.#parent(entry.path, parts, true)
    return this.#place(directory, path === '' ? name : `${path}/${name}`, name, entry)
  }

  /**
   * Takes away all but the listed paths and the directories on the way to them; a directory that is listed is kept
   * without what is in it. Source: App Container specification v0.8.11, `pathWhitelist`.
   *
   * @param paths absolute, one character for each byte
   */
  keepOnly(paths: Iterable<string>): void {
    const kept: Kept = new Map()
    for (const text of paths) {
      let at = kept
      for (const part of pathComponents(text, 'whitelisted path')) {
        const next = at.get(part) ?? new Map()
        at.set(part, next)
        at = next
      }
    }
    this.#keepOnly(this.#root, '', kept)
  }

  #keepOnly(directory: Directory, path: string, kept: Kept): void {
    for (const [name, child] of [...directory.children]) {
      const at = path === '' ? name : `${path}/${name}`
      const below = kept.get(name)
      if (below === undefined) {
        directory.children.delete(name)
        this.#emit({ kind: 'remove', path: at })
      } else if (isDirectory(child)) this.#keepOnly(child, at, below)
    }
  }

  /**
   * Emits the attributes of all directories, contents before the directory itself, as making anything in it changes its
   * time.
   *
   * @returns the root. Data of files counts as those entries had it that `add` took it of, one after the other
   */
  finish(): TreeDirectory {
    this.#finishDirectory(this.#root, '')
    return this.#root
  }

  #finishDirectory(directory: Directory, path: string): void {
    for (const [name, child] of directory.children) {
      if (isDirectory(child)) this.#finishDirectory(child, path === '' ? name : `${path}/${name}`)
    }
    this.#emit({ kind: 'meta', path, attributes: directory.inode })
  }

  #place(parent: Directory, path: string, name: string, entry: TarEntry): boolean {
    const existing = parent.children.get(name)
    if (entry.type === 'directory') {
      if (existing !== undefined && isDirectory(existing)) {
        this.#describe(existing, path, entry)
        return false
      }
      if (existing !== undefined) this.#emit({ kind: 'remove', path })
      const made = newDirectory(this.#layer)
      parent.children.set(this.#kept(name), made)
      this.#describe(made, path, entry)
      return false
    }
    // All of the entry is judged before anything is changed.
    const source = entry.type === 'hardlink' ? this.#hardlinkSource(entry, path) : undefined
    const attributes = attributesOf(entry)
    const xattrs = selectXattrs(entry)
    const inode = source?.node.inode ?? this.#inode(entry, attributes, xattrs)
    if (existing !== undefined) this.#emit({ kind: 'remove', path })
    parent.children.set(this.#kept(name), { inode, layer: this.#layer })
    this.#emit(source === undefined ? operationFor(inode, path) : { kind: 'hardlink', path, argument: source.path })
    if (entry.type !== 'file') return false
    this.#dataBytes += entry.size
    // A file's extended attributes are set on it by name once its data is written.
    this.#pendingXattrs = { path, xattrs }
    if (entry.size === 0) this.flushXattrs()
    return entry.size > 0
  }

  #inode(entry: TarEntry, attributes: Attributes, xattrs: ReadonlyMap<string, Buffer>): Inode {
    const { mode, uid, gid, mtime } = attributes
    const symlink = entry.type === 'symlink'
    if (symlink && (entry.linkPath === '' || entry.linkPath.length > LIMITS.pathBytes)) {
      throw unsafe(entry.path, 'a symlink whose target is empty or too long')
    }
    const device = entry.type === 'char' || entry.type === 'block' ? deviceOf(entry) : NO_DEVICE
    const target = symlink ? this.#kept(entry.linkPath) : ''
    const kept = this.#kept(encodeXattrs(xattrs))
    return { mode, uid, gid, mtime, device, target, xattrs: kept, sizeBytes: entry.size, dataOffset: this.#dataBytes }
  }

  /**
   * A text that stays in memory. Without the copy it would keep the whole path alive that it was cut from, and a hostile
   * archive could fill the memory with paths.
   */
  #kept(text: string): string {
    if (text === '') return text
    this.#textBytes += text.length
    if (this.#textBytes > LIMITS.textBytes) {
      throw new ImageError(
        'IMAGE_TOO_LARGE',
        `names, link targets and extended attributes of more than ${LIMITS.textBytes} bytes`,
      )
    }
    return Buffer.from(text, 'latin1').toString('latin1')
  }

  #pendingXattrs: { readonly path: string; readonly xattrs: ReadonlyMap<string, Buffer> } | undefined

  /** To be called when the data of a file has been passed on. */
  flushXattrs(): void {
    const pending = this.#pendingXattrs
    this.#pendingXattrs = undefined
    if (pending !== undefined) this.#emitXattrs(pending.path, pending.xattrs)
  }

  #emitXattrs(path: string, xattrs: ReadonlyMap<string, Buffer>): void {
    for (const [name, value] of xattrs) {
      this.#emit({ kind: 'xattr', path, argument: name, dataBytes: value.length }, value)
    }
  }

  /** A directory takes the attributes an entry states; mkdir rids one that exists of its extended attributes. */
  #describe(directory: Directory, path: string, entry: TarEntry): void {
    const { mode, uid, gid, mtime } = attributesOf(entry)
    const xattrs = selectXattrs(entry)
    directory.inode = { ...NO_DATA, mode, uid, gid, mtime, xattrs: this.#kept(encodeXattrs(xattrs)) }
    directory.layer = this.#layer
    directory.touched = this.#layer
    this.#emit({ kind: 'mkdir', path })
    this.#emitXattrs(path, xattrs)
  }

  #hardlinkSource(entry: TarEntry, path: string): { readonly node: Leaf; readonly path: string } {
    const parts = pathComponents(entry.linkPath, 'hardlink target')
    const name = parts.pop()
    const parent = name === undefined ? undefined : this.#parent(entry.path, parts, false)
    const node = name === undefined ? undefined : parent?.directory.children.get(name)
    const shown = shownPath(entry.linkPath)
    if (parent === undefined || name === undefined || node === undefined) {
      throw unsafe(entry.path, `hardlink to ${shown}, which is not in the image before it`)
    }
    if (isDirectory(node)) throw unsafe(entry.path, `hardlink to the directory ${shown}`)
    const source = parent.path === '' ? name : `${parent.path}/${name}`
    if (source === path) throw unsafe(entry.path, 'hardlink to itself')
    if (source.startsWith(`${path}/`)) throw unsafe(entry.path, `hardlink to ${shown}, which it would replace`)
    return { node, path: source }
  }

  /**
   * Walks to a directory, following symlinks as the image would see them: '/' and '..' end at its root.
   *
   * @param make whether missing directories are made
   * @returns the directory and its path without symlinks
   */
  #parent(entryPath: string, parts: readonly string[], make: boolean): { directory: Directory; path: string } {
    const stack: { readonly directory: Directory; readonly path: string }[] = [{ directory: this.#root, path: '' }]
    const todo = [...parts].reverse()
    let symlinks = 0
    for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
      const at = stack[stack.length - 1]
      if (at === undefined) throw new TypeError('the root is never popped')
      if (part === '' || part === '.') continue
      if (part === '..') {
        if (stack.length > 1) stack.pop()
        continue
      }
      let child = at.directory.children.get(part)
      const path = at.path === '' ? part : `${at.path}/${part}`
      if (this.#replaceLowerSymlinks && make && child !== undefined && isSymlink(child) && child.layer < this.#layer) {
        this.#emit({ kind: 'remove', path })
        child = undefined
      }
      if (child === undefined) {
        if (!make || symlinks > 0) throw unsafe(entryPath, `${shownPath(path)} does not exist in the image`)
        child = newDirectory(this.#layer)
        if (++this.#entries > LIMITS.entries) {
          throw new ImageError('IMAGE_TOO_LARGE', `more than ${LIMITS.entries} entries in the image`)
        }
        at.directory.children.set(this.#kept(part), child)
        this.#emit({ kind: 'mkdir', path })
      }
      if (isSymlink(child)) {
        if (++symlinks > MAX_SYMLINKS) throw unsafe(entryPath, 'too many symlinks on the way')
        if (child.inode.target.startsWith('/')) stack.length = 1
        todo.push(...child.inode.target.split('/').reverse())
        if (todo.length > LIMITS.depth * 4) throw unsafe(entryPath, 'symlinks on the way make it too long')
        continue
      }
      if (!isDirectory(child)) throw unsafe(entryPath, `${shownPath(path)} is no directory`)
      stack.push({ directory: child, path })
      if (stack.length > LIMITS.depth + 1 || path.length > LIMITS.pathBytes)
        throw unsafe(entryPath, 'the path gets too long')
    }
    if (make) for (const { directory } of stack) directory.touched = this.#layer
    const last = stack[stack.length - 1]
    if (last === undefined) throw new TypeError('the root is never popped')
    return last
  }

  #whiteout(entry: TarEntry, parts: readonly string[]): void {
    if (parts.some((p, i) => p.startsWith(AUFS) && (p !== OPAQUE || i < parts.length - 1))) return // aufs' own files
    const marker = parts.at(-1) ?? ''
    const above = parts.slice(0, -1)
    if (above.some((p) => p.startsWith(WHITEOUT))) throw unsafe(entry.path, 'something inside of a whiteout')
    if (entry.type !== 'file' && entry.type !== 'hardlink')
      throw unsafe(entry.path, `a whiteout that is a ${entry.type}`)
    const hidden = marker.slice(WHITEOUT.length)
    if (hidden === '' || hidden === '.' || hidden === '..')
      throw unsafe(entry.path, 'a whiteout of nothing it could hide')
    if (!this.#exists(above)) return // hides nothing, which is allowed
    const { directory, path } = this.#parent(entry.path, above, false)
    if (marker === OPAQUE) {
      for (const name of [...directory.children.keys()]) this.#hide(directory, path, name)
    } else this.#hide(directory, path, hidden)
  }

  #exists(parts: readonly string[]): boolean {
    let at: Node | undefined = this.#root
    for (const part of parts) {
      if (at === undefined) return false
      if (isSymlink(at)) return true // #parent decides
      at = at.children?.get(part)
    }
    return at !== undefined && (isDirectory(at) || isSymlink(at))
  }

  /** Removes what lower layers put at a name, and keeps what this layer put there. */
  #hide(parent: Directory, parentPath: string, name: string): void {
    const node = parent.children.get(name)
    if (node === undefined) return
    const path = parentPath === '' ? name : `${parentPath}/${name}`
    if ((isDirectory(node) ? node.touched : node.layer) < this.#layer) {
      parent.children.delete(name)
      this.#emit({ kind: 'remove', path })
      return
    }
    if (!isDirectory(node)) return
    for (const child of [...node.children.keys()]) this.#hide(node, path, child)
    // Hidden and made anew by its contents alone: nothing of the lower layer's directory is left.
    if (node.layer < this.#layer) {
      node.inode = IMPLICIT
      node.layer = this.#layer
      this.#emit({ kind: 'mkdir', path })
    }
  }
}

function newDirectory(layer: number): Directory {
  return { children: new Map(), inode: IMPLICIT, layer, touched: layer }
}

function isDirectory(node: Node): node is Directory {
  return node.children !== undefined
}

function isSymlink(node: Node): boolean {
  return isType(node.inode.mode, S_IFLNK)
}

function attributesOf(entry: TarEntry): Attributes {
  for (const [what, id] of [
    ['uid', entry.uid],
    ['gid', entry.gid],
  ] as const) {
    if (id < 0 || id > MAX_ID) throw unsafe(entry.path, `${what} ${id} is outside 0..${MAX_ID}`)
  }
  const { seconds } = entry.mtime
  const mtime =
    seconds < 0
      ? { seconds: 0, nanoseconds: 0 }
      : seconds >= MAX_TIME
        ? { seconds: MAX_TIME, nanoseconds: 0 }
        : entry.mtime
  const type = entry.type === 'hardlink' ? 0 : TYPE_BITS[entry.type]
  return { mode: entry.mode | type, uid: entry.uid, gid: entry.gid, mtime }
}

/** The operation that makes anything but a directory and a further name of a file. */
function operationFor(inode: Inode, path: string): Operation {
  if (isType(inode.mode, S_IFREG)) return { kind: 'file', path, attributes: inode, dataBytes: inode.sizeBytes }
  if (isType(inode.mode, S_IFLNK)) return { kind: 'symlink', path, argument: inode.target, attributes: inode }
  return { kind: 'node', path, attributes: inode, device: inode.device }
}

function deviceOf({ path, type, deviceMajor: major, deviceMinor: minor }: TarEntry): Inode['device'] {
  if (type === 'char' && major === 0 && minor === 0) {
    throw unsafe(path, 'a character device 0:0, which an overlay would take for a whiteout')
  }
  if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff) {
    throw unsafe(path, `device ${major}:${minor} is out of range`)
  }
  return { major, minor }
}
