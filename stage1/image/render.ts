import { type FileHandle, open } from 'node:fs/promises'
import path from 'node:path'
import { formatTreeDigest, rootHashOf } from '../manifest/index.ts'
import { BLOCK_BYTES } from './erofs-format.ts'
import { type ErofsLayout, layOut } from './erofs-layout.ts'
import { erofsPieces } from './erofs-writer.ts'
import { type FetchWork, hold, type Rendered } from './fetch-work.ts'
import { hashBlocksTo } from './hash-tree.ts'
import type { TreeDirectory } from './inode.ts'
import type { Spool } from './spool.ts'
import { hashTreePath, type ImageStore, moveIntoPlace, storeError, treePath } from './store.ts'
import { VerityHasher } from './tree-digest.ts'

/**
 * Renders a tree into one read-only EROFS file in `trees/`, by the rules of version 2 (README.md), with its hash tree
 * beside it.
 *
 * @param spool the data of the tree's files
 * @throws ImageError IMAGE_NO_SPACE, IMAGE_STORE_FAILED
 */
export async function renderTree(work: FetchWork, root: TreeDirectory, spool: Spool): Promise<Rendered> {
  const { store, directory, options } = work
  const files = { tree: path.join(directory, 'tree.erofs'), hashTree: path.join(directory, 'tree.verity') }
  const rendered = await writeTree(store, layOut(root), spool, files, options.signal)
  const hex = rootHashOf(rendered.digest)
  await hold(work, [{ kind: 'tree', hex }])
  moveIntoPlace(store, files.hashTree, hashTreePath(store, hex)) // first: who sees the tree is to see this, too
  moveIntoPlace(store, files.tree, treePath(store, hex))
  return rendered
}

async function writeTree(
  store: ImageStore,
  layout: ErofsLayout,
  spool: Spool,
  files: { readonly tree: string; readonly hashTree: string },
  signal: AbortSignal | undefined,
): Promise<Rendered> {
  const stored = <T>(step: Promise<T>): Promise<T> => step.catch((err) => Promise.reject(storeError(store, err)))
  const opened: FileHandle[] = []
  const create = async (file: string): Promise<FileHandle> => {
    const handle = await stored(open(file, 'wx', 0o600))
    opened.push(handle)
    return handle
  }
  try {
    const tree = await create(files.tree)
    const hashTree = await create(files.hashTree)
    const hasher = new VerityHasher(hashBlocksTo(store, hashTree.fd, layout.blocks))
    for (const piece of erofsPieces(layout, spool.read)) {
      signal?.throwIfAborted()
      const writing = stored(tree.writeFile(piece))
      writing.catch(() => {}) // awaited below, but not when hashing fails
      hasher.update(piece) // while the piece is written
      await writing
    }
    const digest = formatTreeDigest(hasher.digest())
    await Promise.all(opened.map((handle) => stored(handle.sync())))
    return { digest, sizeBytes: layout.blocks * BLOCK_BYTES }
  } finally {
    for (const handle of opened) await handle.close()
  }
}
