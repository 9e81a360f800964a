import type { LayerTree } from './layer-tree.ts'
import type { TarEntry, TarHandler } from './tar.ts'

/** Feeds entries of an archive to a tree, and the data of those that it takes to where data goes, in the same order. */
export class TreeHandler implements TarHandler {
  readonly #tree: LayerTree
  readonly #data: { readonly write: (bytes: Buffer) => void }
  #left = 0

  constructor(tree: LayerTree, data: { readonly write: (bytes: Buffer) => void }) {
    this.#tree = tree
    this.#data = data
  }

  entry(entry: TarEntry): void {
    this.#left = this.#tree.add(entry) ? entry.size : 0
  }

  data(bytes: Buffer): void {
    if (this.#left === 0) return // of a whiteout
    this.#data.write(bytes)
    this.#left -= bytes.length
    if (this.#left === 0) this.#tree.flushXattrs()
  }
}
