import { TransparencyLogError } from './errors.ts'
import { assertTreeSize, bitLength } from './merkle-hash.ts'

/** Entries `start` to before `end` of a tree, as one of its subtrees. */
export interface Subtree {
  readonly start: bigint
  readonly end: bigint
}

/** A complete subtree: of 2^level entries, the `index`-th of its level, counted from 0. */
export interface TreeNode {
  readonly level: number
  readonly index: bigint
}

/** The complete subtrees that a subtree of a tree is made of, from the left: each is smaller than the one before it. */
export function completeSubtrees(start: bigint, end: bigint): TreeNode[] {
  const nodes: TreeNode[] = []
  for (let at = start; at < end; ) {
    const level = bitLength(end - at) - 1
    nodes.push({ level, index: at >> BigInt(level) })
    at += 1n << BigInt(level)
  }
  return nodes
}

/**
 * The subtrees whose roots verifyInclusion() takes, in its order. Source: RFC 9162 §2.1.3.1.
 *
 * @throws TransparencyLogError LOG_PROOF_MALFORMED for an entry that the tree does not have
 */
export function inclusionSubtrees(index: bigint, size: bigint): Subtree[] {
  assertTreeSize(size)
  if (index < 0n || index >= size) {
    throw new TransparencyLogError('LOG_PROOF_MALFORMED', `entry ${index} is outside a tree of ${size}`)
  }
  return siblingsDownTo({ start: index, end: index + 1n }, size).reverse()
}

/**
 * The subtrees whose roots verifyConsistency() takes, in its order. Source: RFC 9162 §2.1.4.1.
 *
 * @param older,newer sizes
 * @throws TransparencyLogError LOG_PROOF_MALFORMED when the older tree is larger
 */
export function consistencySubtrees(older: bigint, newer: bigint): Subtree[] {
  assertTreeSize(older)
  assertTreeSize(newer)
  if (older > newer) {
    throw new TransparencyLogError('LOG_PROOF_MALFORMED', `a tree of ${newer} is not newer than one of ${older}`)
  }
  if (older === 0n || older === newer) return []
  const { level, index } = completeSubtrees(0n, older).at(-1) as TreeNode // it has entries
  const start = index << BigInt(level)
  const siblings = siblingsDownTo({ start, end: older }, newer).reverse()
  return start === 0n ? siblings : [{ start, end: older }, ...siblings] // else it is the older tree itself
}

/** What is left aside at each fork on the way from the root of a tree down to a complete subtree of it. */
function siblingsDownTo(target: Subtree, size: bigint): Subtree[] {
  const siblings: Subtree[] = []
  let [start, end] = [0n, size]
  while (start !== target.start || end !== target.end) {
    const fork = start + (1n << BigInt(bitLength(end - start - 1n) - 1)) // the largest power of two that is smaller
    const left = target.start < fork
    siblings.push(left ? { start: fork, end } : { start, end: fork })
    if (left) end = fork
    else start = fork
  }
  return siblings
}
