import { digest } from '../crypto/index.ts'

/** Size of every hash of a tree: SHA-256. */
export const HASH_BYTES = 32

/** Trees are smaller than this: an index fits a signed 64-bit integer, as in other people's tools. */
export const TREE_SIZE_LIMIT = 1n << 63n

/** A tree's state: what a checkpoint signs. */
export interface TreeHead {
  /** Number of leaves. */
  readonly size: bigint
  /** 32 bytes. */
  readonly root: Uint8Array
}

// A leaf can never pass for a node, nor a node for a leaf.
const LEAF_PREFIX = Uint8Array.of(0x00)
const NODE_PREFIX = Uint8Array.of(0x01)

/** Root of the tree without leaves. Source: RFC 9162 §2.1.1 (RFC 6962 §2.1), the hash of an empty string. */
export const EMPTY_ROOT: Uint8Array = digest('sha256')

/** Hash of an entry as a leaf. Source: RFC 9162 §2.1.1, SHA-256(0x00 || entry). */
export function leafHash(entry: Uint8Array): Uint8Array {
  return digest('sha256', LEAF_PREFIX, entry)
}

/** Hash of two subtrees. Source: RFC 9162 §2.1.1, SHA-256(0x01 || left || right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return digest('sha256', NODE_PREFIX, left, right)
}

/** @throws RangeError for a number that no tree here has as its size: the caller's mistake, as parsers refuse it before */
export function assertTreeSize(size: bigint): void {
  if (size < 0n || size >= TREE_SIZE_LIMIT) throw new RangeError(`tree size ${size} is outside 0 to 2^63 - 1`)
}

/** Number of binary digits of a natural number; 0 of 0. */
export function bitLength(n: bigint): number {
  return n === 0n ? 0 : n.toString(2).length
}
