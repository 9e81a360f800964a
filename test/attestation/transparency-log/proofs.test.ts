import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  EMPTY_ROOT,
  leafHash,
  TransparencyLogError,
  type TreeHead,
  verifyConsistency,
  verifyInclusion,
} from '../../../attestation/transparency-log/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { numberedEntries, referenceConsistency, referencePath, referenceRoot } from '../../support/reference-tree.ts'

const ENTRIES = numberedEntries(70)
const LEAVES = ENTRIES.map(leafHash)
const headOf = (size: number): TreeHead => ({ size: BigInt(size), root: referenceRoot(ENTRIES.slice(0, size)) })
const HEADS = Array.from({ length: ENTRIES.length + 1 }, (_, size) => headOf(size))
const head = (size: number): TreeHead => HEADS[size] as TreeHead
const leaf = (index: number): Uint8Array => LEAVES[index] as Uint8Array

const flipped = (bytes: Uint8Array, bit: number): Uint8Array =>
  bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
const withFlippedBit = (hashes: readonly Uint8Array[], which: number, bit: number): Uint8Array[] =>
  hashes.map((hash, i) => (i === which ? flipped(hash, bit) : hash))
const bit = fc.nat(255)

const MISMATCH = { code: 'LOG_PROOF_MISMATCH' }
const MALFORMED = { code: 'LOG_PROOF_MALFORMED' }

describe('an inclusion proof', () => {
  it('verifies for every entry of every tree up to 40', () => {
    for (let size = 1; size <= 40; size++) {
      for (let i = 0; i < size; i++) {
        verifyInclusion(leaf(i), BigInt(i), referencePath(i, ENTRIES.slice(0, size)), head(size))
      }
    }
  })

  const entryOfTree = fc
    .integer({ min: 1, max: ENTRIES.length })
    .chain((size) => fc.record({ size: fc.constant(size), index: fc.nat(size - 1) }))
  it('fails with any single bit of leaf, path or root changed', () => {
    fc.assert(
      fc.property(entryOfTree, fc.nat(), bit, ({ size, index }, at, which) => {
        const path = referencePath(index, ENTRIES.slice(0, size))
        const of = head(size)
        assert.throws(() => verifyInclusion(flipped(leaf(index), which), BigInt(index), path, of), MISMATCH)
        const changedRoot = { ...of, root: flipped(of.root, which) }
        assert.throws(() => verifyInclusion(leaf(index), BigInt(index), path, changedRoot), MISMATCH)
        if (path.length === 0) return
        const changed = withFlippedBit(path, at % path.length, which)
        assert.throws(() => verifyInclusion(leaf(index), BigInt(index), changed, of), MISMATCH)
      }),
      { numRuns: fuzzRuns(200) },
    )
  })
  it('proves no other index', () => {
    fc.assert(
      fc.property(entryOfTree, fc.nat(ENTRIES.length - 1), ({ size, index }, other) => {
        fc.pre(other !== index && other < size)
        const path = referencePath(index, ENTRIES.slice(0, size))
        assert.throws(() => verifyInclusion(leaf(index), BigInt(other), path, head(size)), TransparencyLogError)
      }),
      { numRuns: fuzzRuns(200) },
    )
  })
  it('verifies at the end of the largest tree', () => {
    const size = 2n ** 63n - 1n
    const path = Array.from({ length: 62 }, () => leaf(1))
    assert.throws(() => verifyInclusion(leaf(0), size - 1n, path, { size, root: leaf(0) }), MISMATCH)
  })

  const path = referencePath(3, ENTRIES.slice(0, 5))
  const refused = [
    { name: 'a negative index', index: -1n, path },
    { name: 'an index behind the tree', index: 5n, path },
    { name: 'no hashes', index: 3n, path: [] },
    { name: 'one hash too few', index: 3n, path: path.slice(1) },
    { name: 'one hash too many', index: 3n, path: [...path, leaf(0)] },
    { name: 'a hash of 31 bytes', index: 3n, path: [...path.slice(1), leaf(0).subarray(1)] },
    { name: 'a hash of 33 bytes', index: 3n, path: [...path.slice(1), new Uint8Array(33)] },
    { name: 'a million hashes', index: 3n, path: Array.from({ length: 1_000_000 }, () => leaf(0)) },
  ]
  for (const { name, index, path: hashes } of refused) {
    it(`is refused with ${name}`, () =>
      assert.throws(() => verifyInclusion(leaf(3), index, hashes, head(5)), MALFORMED))
  }
  it('is never of an empty tree', () => {
    assert.throws(() => verifyInclusion(leaf(0), 0n, [], { size: 0n, root: EMPTY_ROOT }), MALFORMED)
  })
  it('is not asked of a tree that cannot be', () => {
    assert.throws(() => verifyInclusion(leaf(0), 0n, [], { size: 2n ** 63n, root: EMPTY_ROOT }), RangeError)
  })
})

describe('a consistency proof', () => {
  it('verifies for all pairs of trees up to 40', () => {
    for (let newer = 1; newer <= 40; newer++) {
      for (let older = 1; older <= newer; older++) {
        verifyConsistency(head(older), referenceConsistency(older, ENTRIES.slice(0, newer)), head(newer))
      }
      verifyConsistency(head(0), [], head(newer))
    }
    verifyConsistency(head(0), [], head(0))
  })

  const pairOfTrees = fc
    .integer({ min: 1, max: ENTRIES.length })
    .chain((newer) => fc.record({ newer: fc.constant(newer), older: fc.integer({ min: 1, max: newer }) }))
  it('fails with any single bit of path or roots changed', () => {
    fc.assert(
      fc.property(pairOfTrees, fc.nat(), bit, ({ newer, older }, at, which) => {
        const path = referenceConsistency(older, ENTRIES.slice(0, newer))
        const [from, to] = [head(older), head(newer)]
        const changedOlder = { ...from, root: flipped(from.root, which) }
        assert.throws(() => verifyConsistency(changedOlder, path, to), MISMATCH)
        assert.throws(() => verifyConsistency(from, path, { ...to, root: flipped(to.root, which) }), MISMATCH)
        if (path.length === 0) return
        const changed = withFlippedBit(path, at % path.length, which)
        assert.throws(() => verifyConsistency(from, changed, to), MISMATCH)
      }),
      { numRuns: fuzzRuns(200) },
    )
  })
  it('does not exist for a log that changed an entry', () => {
    for (let changedEntry = 0; changedEntry < 7; changedEntry++) {
      const other = ENTRIES.slice(0, 13).map((entry, i) => (i === changedEntry ? Uint8Array.of(0xff) : entry))
      const to = { size: 13n, root: referenceRoot(other) }
      assert.throws(() => verifyConsistency(head(7), referenceConsistency(7, other), to), MISMATCH)
    }
  })

  const path = referenceConsistency(3, ENTRIES.slice(0, 7))
  const refused = [
    { name: 'an older tree that is larger', older: head(7), path, newer: head(3) },
    { name: 'no hashes', older: head(3), path: [], newer: head(7) },
    { name: 'one hash too few', older: head(3), path: path.slice(1), newer: head(7) },
    { name: 'one hash too many', older: head(3), path: [...path, leaf(0)], newer: head(7) },
    { name: 'a hash of 31 bytes', older: head(3), path: path.map((hash) => hash.subarray(1)), newer: head(7) },
    { name: 'hashes for one tree', older: head(7), path: [leaf(0)], newer: head(7) },
    { name: 'hashes for the empty tree', older: head(0), path: [leaf(0)], newer: head(7) },
  ]
  for (const { name, older, path: hashes, newer } of refused) {
    it(`is refused with ${name}`, () => assert.throws(() => verifyConsistency(older, hashes, newer), MALFORMED))
  }
  it('fails for two trees of one size, and for an empty tree with another root', () => {
    assert.throws(() => verifyConsistency({ ...head(7), root: leaf(0) }, [], head(7)), MISMATCH)
    assert.throws(() => verifyConsistency({ ...head(0), root: leaf(0) }, [], head(7)), MISMATCH)
  })
})
