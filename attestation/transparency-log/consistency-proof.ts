import { equalBytes, toHex } from '../base/index.ts'
import { TransparencyLogError } from './errors.ts'
import { assertHashes, pathShape } from './inclusion-proof.ts'
import { assertTreeSize, EMPTY_ROOT, nodeHash, type TreeHead } from './merkle-hash.ts'

/**
 * Verifies that a tree begins with all of an older one: nothing was taken out, changed or reordered.
 * Source: RFC 9162 §2.1.4.2 (RFC 6962 §2.1.2). The empty tree is the beginning of every tree and needs no hashes.
 *
 * @param path hashes as RFC 9162 §2.1.4.1 orders them; none when the sizes are equal
 * @throws TransparencyLogError LOG_PROOF_MALFORMED, LOG_PROOF_MISMATCH
 */
export function verifyConsistency(older: TreeHead, path: readonly Uint8Array[], newer: TreeHead): void {
  assertTreeSize(older.size)
  assertTreeSize(newer.size)
  if (older.size > newer.size) {
    throw new TransparencyLogError(
      'LOG_PROOF_MALFORMED',
      `a tree of ${newer.size} is not newer than one of ${older.size}`,
    )
  }
  const what = `${older.size} as the beginning of ${newer.size}`
  if (older.size === 0n || older.size === newer.size) {
    assertHashes(path, 0, what)
    assertRoot(older.size === 0n ? EMPTY_ROOT : newer.root, older, what)
    return
  }
  // The older tree's last complete subtree is where both ways up begin: its hash is that tree's root, or comes first.
  const last = older.size - 1n
  const { inner, border } = pathShape(last, newer.size)
  const start = trailingZeros(older.size)
  const complete = older.size === 1n << BigInt(start)
  assertHashes(path, (complete ? 0 : 1) + inner - start + border, what)
  const [seed = older.root, ...siblings] = complete ? [older.root, ...path] : path
  let [olderHash, newerHash] = [seed, seed]
  for (const [i, sibling] of siblings.entries()) {
    const level = start + i
    if (level >= inner || ((last >> BigInt(level)) & 1n) === 1n) {
      olderHash = nodeHash(sibling, olderHash)
      newerHash = nodeHash(sibling, newerHash)
    } else {
      newerHash = nodeHash(newerHash, sibling) // leaves that the older tree did not have
    }
  }
  assertRoot(olderHash, older, what)
  assertRoot(newerHash, newer, what)
}

function assertRoot(hash: Uint8Array, head: TreeHead, what: string): void {
  if (equalBytes(hash, head.root)) return
  throw new TransparencyLogError(
    'LOG_PROOF_MISMATCH',
    `${what}: the root at ${head.size} is ${toHex(hash)} by the proof, expected ${toHex(head.root)}`,
  )
}

function trailingZeros(n: bigint): number {
  const digits = n.toString(2)
  return digits.length - 1 - digits.lastIndexOf('1')
}
