import { directoryBlocks } from './erofs-directory.ts'
import { BLOCK_BYTES, EXTENDED_INODE_BYTES, isType, S_IFLNK, SLOT_BYTES } from './erofs-format.ts'
import type { Inode, TreeDirectory, TreeNode } from './inode.ts'

/** A file with its place in the rendered file. */
export interface PlacedInode {
  readonly inode: Inode
  readonly nid: number
  readonly sizeBytes: number
  /** Its blocks, counted from the start of the rendered file; 0 of them for what lies behind the inode or is empty. */
  readonly firstBlock: number
  readonly blocks: number
  /** How much of its data lies behind the inode: what is left of whole blocks. */
  readonly tailBytes: number
  /** How many names it has; of a directory its own, `.`, and the `..` in each directory in it. */
  links: number
  readonly directory?: PlacedDirectory
}

/** All names of a directory, `.` and `..` among them, in the order of their bytes, and what they stand for. */
interface PlacedDirectory {
  readonly names: readonly string[]
  readonly targets: readonly PlacedInode[]
}

/** Where everything in a rendered file is: the superblock's block, then data, then metadata from `metaBlock` on. */
export interface ErofsLayout {
  /** In the order of both their data and their inodes; the root is the first. */
  readonly inodes: readonly PlacedInode[]
  readonly metaBlock: number
  readonly blocks: number
}

/**
 * Gives each file of a tree its place. It follows from the tree alone: a directory comes before what is in it, names
 * come in the order of their bytes, each with all that is below it, and a file with several names at its first one.
 * Data lies in that order in whole blocks, inodes in that order in slots; an inode, its extended attributes and the
 * rest of its data share a block where that is possible at all, else the rest gets a block among the data.
 *
 * @throws RangeError for a tree that a file system with 32-bit block numbers cannot hold
 */
export function layOut(root: TreeDirectory): ErofsLayout {
  const inodes: PlacedInode[] = []
  const named = new Map<Inode, PlacedInode>()
  let nextBlock = 1 // behind the superblock's
  // Slot 0 stays empty: programs take a file with the number 0 for one that was removed.
  let metaBytes: number = SLOT_BYTES

  function place(inode: Inode, sizeBytes: number, directory?: PlacedDirectory): PlacedInode {
    const ownBytes = EXTENDED_INODE_BYTES + inode.xattrs.length
    const rest = sizeBytes % BLOCK_BYTES
    const tailBytes = ownBytes + rest <= BLOCK_BYTES ? rest : 0
    const blocks = Math.ceil((sizeBytes - tailBytes) / BLOCK_BYTES)
    if ((metaBytes % BLOCK_BYTES) + ownBytes + tailBytes > BLOCK_BYTES) metaBytes = roundUp(metaBytes, BLOCK_BYTES)
    const placed: PlacedInode = {
      inode,
      nid: metaBytes / SLOT_BYTES,
      sizeBytes,
      firstBlock: blocks === 0 ? 0 : nextBlock,
      blocks,
      tailBytes,
      links: 1,
      ...(directory && { directory }),
    }
    inodes.push(placed)
    nextBlock += blocks
    metaBytes = roundUp(metaBytes + ownBytes + tailBytes, SLOT_BYTES)
    return placed
  }

  function placeDirectory({ inode, children }: TreeDirectory, parent?: PlacedInode): PlacedInode {
    const names = ['.', '..', ...children.keys()].sort()
    const targets: PlacedInode[] = []
    const placed = place(inode, directoryBlocks(names).sizeBytes, { names, targets })
    placed.links = 2
    for (const name of names) {
      const child = children.get(name)
      if (child !== undefined) targets.push(placeNode(child, placed))
      else targets.push(name === '.' ? placed : (parent ?? placed)) // the root is its own parent
    }
    return placed
  }

  function placeNode(node: TreeNode, parent: PlacedInode): PlacedInode {
    if (node.children !== undefined) {
      parent.links++
      return placeDirectory(node, parent)
    }
    const { inode } = node
    const before = named.get(inode)
    if (before !== undefined) {
      before.links++
      return before
    }
    const placed = place(inode, isType(inode.mode, S_IFLNK) ? inode.target.length : inode.sizeBytes)
    named.set(inode, placed)
    return placed
  }

  placeDirectory(root)
  const blocks = nextBlock + Math.ceil(metaBytes / BLOCK_BYTES)
  if (blocks > 0xffffffff || metaBytes / SLOT_BYTES > 0xffffffff) {
    throw new RangeError(`a tree of ${blocks} blocks is too large`)
  }
  return { inodes, metaBlock: nextBlock, blocks }
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to
}
