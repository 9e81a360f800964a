import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import { rootHashOf, type TreeDigest } from '../manifest/index.ts'
import { believes } from '../users/index.ts'
import { BLOCK_BYTES } from './erofs-format.ts'
import { ImageError } from './errors.ts'
import { hashTreePath, type ImageStore, makeWorkDirectory, moveIntoPlace, storing, treePath } from './store.ts'
import { type TakeHashBlock, treeDigestOf } from './tree-digest.ts'
import { openTree } from './verify.ts'

const HASHES_PER_BLOCK = 128

/** Where the blocks of a hash tree are in its file. */
export interface HashTreeLayout {
  /** Of the whole file; 0 for a tree of one block, whose own hash is the root. */
  readonly sizeBytes: number
  /** Where a block is, in bytes. See TakeHashBlock. */
  readonly offsetOf: (level: number, index: number) => number
}

/**
 * The level that is one block, whose hash is the root, comes first, the hashes of data last.
 * Source: Linux Documentation/admin-guide/device-mapper/verity.rst, "Hash Tree"; the same as
 * `veritysetup format --no-superblock --salt=-`.
 *
 * @param dataBlocks of 4096 bytes
 */
export function hashTreeLayout(dataBlocks: number): HashTreeLayout {
  const counts: number[] = []
  for (let n = dataBlocks; n > 1; ) {
    n = Math.ceil(n / HASHES_PER_BLOCK)
    counts.push(n)
  }
  const blocksOf = (levels: readonly number[]): number => levels.reduce((a, b) => a + b, 0)
  return {
    sizeBytes: blocksOf(counts) * BLOCK_BYTES,
    offsetOf: (level, index) => (blocksOf(counts.slice(level + 1)) + index) * BLOCK_BYTES,
  }
}

/** Writes each block of a hash tree to its place in a file. @throws ImageError IMAGE_NO_SPACE, IMAGE_STORE_FAILED */
export function hashBlocksTo(store: ImageStore, fd: number, dataBlocks: number): TakeHashBlock {
  const { offsetOf } = hashTreeLayout(dataBlocks)
  return (level, index, block) =>
    storing(store, () => {
      const at = offsetOf(level, index)
      for (let done = 0; done < block.length; ) done += fs.writeSync(fd, block, done, block.length - done, at + done)
    })
}

/**
 * For a fetch: the file with the hash tree of a rendered tree: what a kernel needs to check each block of the tree when it is read. It
 * is made where it is missing, of another size, or another user's, who could keep a pod from reading. Nobody has to trust
 * it: a kernel that knows the root hash believes no block of it that does not lead there.
 *
 * @returns its path
 * @throws ImageError IMAGE_TREE_MISSING, IMAGE_TREE_CHANGED, IMAGE_NO_SPACE, IMAGE_STORE_FAILED
 */
export function ensureHashTree(store: ImageStore, digest: TreeDigest): string {
  const file = hashTreePath(store, rootHashOf(digest))
  const tree = openTree(treePath(store, rootHashOf(digest)))
  try {
    const treeBytes = fs.fstatSync(tree).size
    const found = fs.lstatSync(file, { throwIfNoEntry: false })
    const ours = found?.isFile() === true && (found.uid === process.geteuid?.() || found.uid === 0) && found.nlink === 1
    if (ours && found.size === hashTreeLayout(treeBytes / BLOCK_BYTES).sizeBytes) return file
    const work = makeWorkDirectory(store)
    try {
      makeHashTree(store, { tree, treeBytes, digest }, path.join(work, 'hashes'))
      moveIntoPlace(store, path.join(work, 'hashes'), file)
    } finally {
      fs.rmSync(work, { recursive: true, force: true })
    }
    return file
  } finally {
    fs.closeSync(tree)
  }
}

/**
 * The hash tree of a rendered tree for root, who launches: it writes nothing by a name in directories that the user
 * `holdfast` can change under it. One that neither root nor that user has written, or that is missing, is made anew, in a
 * file without a name that lasts as long as who has it open: a fetch makes one that lasts.
 *
 * @returns open for reading alone; the caller closes it
 * @throws ImageError as ensureHashTree
 */
export function openHashTree(store: ImageStore, digest: TreeDigest): number {
  const tree = openTree(treePath(store, rootHashOf(digest)))
  try {
    const treeBytes = fs.fstatSync(tree).size
    const { sizeBytes } = hashTreeLayout(treeBytes / BLOCK_BYTES)
    const found = openIfGood(hashTreePath(store, rootHashOf(digest)), sizeBytes)
    if (found !== undefined) return found
    const file = path.join(store.dir, `hash-tree.${randomBytes(8).toString('hex')}`) // this directory is root's own
    const fd = storing(store, () => fs.openSync(file, 'wx', 0o600))
    try {
      storing(store, () => fs.rmSync(file))
      hashed({ tree, treeBytes, digest }, hashBlocksTo(store, fd, treeBytes / BLOCK_BYTES))
      return fs.openSync(`/proc/self/fd/${fd}`, fs.constants.O_RDONLY)
    } finally {
      fs.closeSync(fd)
    }
  } finally {
    fs.closeSync(tree)
  }
}

/** Whoever else may write there could keep a pod from reading. */
function openIfGood(file: string, sizeBytes: number): number | undefined {
  let fd: number
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
  } catch {
    return undefined // missing, or no file at all
  }
  const found = fs.fstatSync(fd)
  if (found.isFile() && believes(found.uid) && found.nlink === 1 && found.size === sizeBytes) return fd
  fs.closeSync(fd)
  return undefined
}

interface OpenTree {
  readonly tree: number
  readonly treeBytes: number
  readonly digest: TreeDigest
}

function makeHashTree(store: ImageStore, o: OpenTree, file: string): void {
  const fd = storing(store, () => fs.openSync(file, 'wx', 0o600))
  try {
    hashed(o, hashBlocksTo(store, fd, o.treeBytes / BLOCK_BYTES))
    storing(store, () => fs.fsyncSync(fd))
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * Holds the hash tree that is in the store against the rendered tree; one that is not there is made when it is needed.
 * @throws ImageError IMAGE_TREE_MISSING, IMAGE_TREE_CHANGED
 */
export function checkHashTree(store: ImageStore, digest: TreeDigest): void {
  const file = hashTreePath(store, rootHashOf(digest))
  const tree = openTree(treePath(store, rootHashOf(digest)))
  let fd: number | undefined
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
    const hashes = fd
    const treeBytes = fs.fstatSync(tree).size
    const { sizeBytes, offsetOf } = hashTreeLayout(treeBytes / BLOCK_BYTES)
    const found = Buffer.alloc(BLOCK_BYTES)
    let same = fs.fstatSync(hashes).size === sizeBytes
    hashed({ tree, treeBytes, digest }, (level, index, block) => {
      found.fill(0)
      fs.readSync(hashes, found, 0, BLOCK_BYTES, offsetOf(level, index))
      same &&= found.equals(block)
    })
    if (!same) throw notTheHashTree(file)
  } catch (cause) {
    if (cause instanceof ImageError) throw cause
    if (codeOf(cause) !== 'ENOENT') throw notTheHashTree(file, cause)
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
    fs.closeSync(tree)
  }
}

function hashed({ tree, treeBytes, digest }: OpenTree, take: TakeHashBlock): void {
  const found = treeDigestOf(tree, treeBytes, take)
  if (found !== digest) throw new ImageError('IMAGE_TREE_CHANGED', `a tree is ${found} instead of ${digest} now`)
}

function notTheHashTree(file: string, cause?: unknown): ImageError {
  const text = `${file} is not the hash tree of the tree beside it; remove it, it is made again when it is needed`
  return new ImageError('IMAGE_TREE_CHANGED', text, { cause })
}
