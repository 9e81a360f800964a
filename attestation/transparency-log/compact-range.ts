import { assertTreeSize, EMPTY_ROOT, nodeHash, type TreeHead } from './merkle-hash.ts'
import { completeSubtrees } from './subtree.ts'

/**
 * A tree that only grows, in memory of one hash for each binary 1 of its size: 63 at most. With the roots of its
 * complete subtrees anything can be appended, and its own root computed.
 */
export class CompactRange {
  #size: bigint
  /** Roots of the complete subtrees, the largest, leftmost, first. */
  readonly #roots: Uint8Array[]

  /**
   * @param size of the tree to go on with, empty unless given
   * @param roots of completeSubtrees(0n, size), in that order
   * @throws RangeError when their number is not that of the size
   */
  constructor(size = 0n, roots: readonly Uint8Array[] = []) {
    assertTreeSize(size)
    const expected = completeSubtrees(0n, size).length
    if (roots.length !== expected)
      throw new RangeError(`a tree of ${size} has ${expected} subtrees, not ${roots.length}`)
    this.#size = size
    this.#roots = [...roots]
  }

  /**
   * @param leaf leafHash() of the entry
   * @throws RangeError at 2^63 - 1 leaves
   */
  append(leaf: Uint8Array): void {
    assertTreeSize(this.#size + 1n)
    let hash = leaf
    // a binary 1 at the end is a complete subtree as large as the one that has just been made
    for (let rest = this.#size; (rest & 1n) === 1n; rest >>= 1n) hash = nodeHash(this.#roots.pop() as Uint8Array, hash)
    this.#roots.push(hash)
    this.#size += 1n
  }

  /** Size and root as of now. */
  head(): TreeHead {
    return { size: this.#size, root: rootOf(this.#roots) }
  }
}

/** Root of neighbouring complete subtrees, each smaller than the one before it. */
export function rootOf(roots: readonly Uint8Array[]): Uint8Array {
  const last = roots.at(-1)
  if (last === undefined) return EMPTY_ROOT
  return roots.slice(0, -1).reduceRight((right, left) => nodeHash(left, right), last)
}
