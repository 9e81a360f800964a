import { equalBytes, toHex } from '../base/index.ts'
import { TransparencyLogError } from './errors.ts'
import { assertTreeSize, bitLength, HASH_BYTES, nodeHash, type TreeHead } from './merkle-hash.ts'

/**
 * Verifies that an entry is in a tree. It proves nothing of the tree: head comes out of a verified checkpoint, size and
 * root together, since one path may fit trees of several sizes.
 * Source: RFC 9162 §2.1.3.2 (RFC 6962 §2.1.1).
 *
 * @param leaf leafHash() of the entry
 * @param index of the entry, counted from 0
 * @param path hashes of the sibling subtrees, from the leaf's up
 * @throws TransparencyLogError LOG_PROOF_MALFORMED, LOG_PROOF_MISMATCH
 */
export function verifyInclusion(leaf: Uint8Array, index: bigint, path: readonly Uint8Array[], head: TreeHead): void {
  assertTreeSize(head.size)
  if (index < 0n || index >= head.size) {
    throw new TransparencyLogError('LOG_PROOF_MALFORMED', `entry ${index} is outside a tree of ${head.size}`)
  }
  const { inner, border } = pathShape(index, head.size)
  assertHashes(path, inner + border, `entry ${index} of ${head.size}`)
  let hash = leaf
  for (const [level, sibling] of path.entries()) {
    // above the last level where the ways to this leaf and to the last one differ, siblings are on the left only
    const siblingIsLeft = level >= inner || ((index >> BigInt(level)) & 1n) === 1n
    hash = siblingIsLeft ? nodeHash(sibling, hash) : nodeHash(hash, sibling)
  }
  if (!equalBytes(hash, head.root)) {
    throw new TransparencyLogError(
      'LOG_PROOF_MISMATCH',
      `entry ${index} is not in the tree of ${head.size}: the path gives root ${toHex(hash)}, expected ${toHex(head.root)}`,
    )
  }
}

/**
 * How the path of a leaf is made: `inner` siblings up to where its way meets that of the tree's last leaf, then
 * `border` complete subtrees on the left.
 */
export function pathShape(index: bigint, size: bigint): { inner: number; border: number } {
  const inner = bitLength(index ^ (size - 1n))
  const border = (index >> BigInt(inner)).toString(2).replaceAll('0', '').length
  return { inner, border }
}

/** @throws TransparencyLogError LOG_PROOF_MALFORMED unless there are `count` hashes of 32 bytes */
export function assertHashes(path: readonly Uint8Array[], count: number, of: string): void {
  if (path.length !== count) {
    throw new TransparencyLogError('LOG_PROOF_MALFORMED', `${path.length} hashes prove ${of}, expected ${count}`)
  }
  const wrong = path.findIndex((hash) => hash.length !== HASH_BYTES)
  if (wrong !== -1) {
    throw new TransparencyLogError(
      'LOG_PROOF_MALFORMED',
      `hash ${wrong} of the proof of ${of} is not of ${HASH_BYTES} bytes`,
    )
  }
}
