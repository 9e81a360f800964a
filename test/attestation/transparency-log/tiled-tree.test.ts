import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  CompactRange,
  compactRangeFromTiles,
  consistencySubtrees,
  hashTilePath,
  inclusionSubtrees,
  leafHash,
  rootsFromTiles,
  type TreeHead,
  tilesOf,
  verifyConsistency,
  verifyInclusion,
} from '../../../attestation/transparency-log/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { numberedEntries, referenceConsistency, referencePath, referenceRoot } from '../../support/reference-tree.ts'
import { TileStore } from '../../support/tile-store.ts'

const MAX_ENTRIES = 800
const ENTRIES = numberedEntries(MAX_ENTRIES)
const STORE = new TileStore()
STORE.append(ENTRIES)

/** By the streaming tree, which is compared with the definition below. */
const HEADS: TreeHead[] = [new CompactRange().head()]
const growing = new CompactRange()
for (const entry of ENTRIES) {
  growing.append(leafHash(entry))
  HEADS.push(growing.head())
}
const head = (size: number): TreeHead => HEADS[size] as TreeHead
const size = fc.integer({ min: 1, max: MAX_ENTRIES })
const numRuns = fuzzRuns(40)

/** A log's files while its size is that: tiles written later are not there. */
function storeOf(count: number): TileStore {
  const store = new TileStore()
  store.append(ENTRIES.slice(0, count))
  return store
}

describe('a compact range', () => {
  it('has the root that RFC 9162 defines, at every size up to 130', () => {
    for (let count = 0; count <= 130; count++)
      assert.deepEqual(head(count).root, referenceRoot(ENTRIES.slice(0, count)))
  })
  it('holds no more hashes than its size has binary ones', () => {
    assert.throws(() => new CompactRange(3n, [head(1).root]), RangeError)
    assert.throws(() => new CompactRange(0n, [head(1).root]), RangeError)
    assert.throws(() => new CompactRange(-1n), RangeError)
    assert.throws(() => new CompactRange(2n ** 63n), RangeError)
  })
  it('is full at 2^63 - 1 leaves', () => {
    const full = new CompactRange(
      2n ** 63n - 1n,
      Array.from({ length: 63 }, () => head(1).root),
    )
    assert.throws(() => full.append(head(1).root), RangeError)
  })
  it('goes on from tiles of any size as if it had never stopped', () => {
    fc.assert(
      fc.property(size, size, (a, b) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)]
        const range = compactRangeFromTiles(BigInt(from), storeOf(from).read)
        assert.deepEqual(range.head(), head(from))
        for (const entry of ENTRIES.slice(from, to)) range.append(leafHash(entry))
        assert.deepEqual(range.head(), head(to))
      }),
      { numRuns },
    )
  })
})

describe('a tiled log', () => {
  it('has the same tiles whether entries came one by one or all at once', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 6 }), (batches) => {
        const store = new TileStore()
        for (const count of batches) {
          const at = Number(store.size)
          store.append(ENTRIES.slice(at, Math.min(at + count, MAX_ENTRIES)))
        }
        const rebuilt = storeOf(Number(store.size))
        for (const [path, bytes] of rebuilt.files) assert.deepEqual(store.files.get(path), bytes, path)
        for (const path of store.files.keys()) assert.ok(rebuilt.files.has(path) || path.includes('.p/'), path)
      }),
      { numRuns },
    )
  })
  it('has no tile above until one is full, and no empty one', () => {
    assert.deepEqual([...storeOf(255).files.keys()], ['tile/0/000.p/255'])
    assert.deepEqual([...storeOf(256).files.keys()], ['tile/0/000', 'tile/1/000.p/1'])
    assert.deepEqual([...storeOf(0).files.keys()], [])
  })
  it('has at 70000 entries the tiles that C2SP tlog-tiles counts', () => {
    const store = new TileStore()
    store.append(Array.from({ length: 70_000 }, (_, i) => Uint8Array.of(i >> 16, i >> 8, i)))
    const paths = [...store.files.keys()]
    assert.equal(paths.filter((path) => /^tile\/0\/[^.]*$/.test(path)).length, 273)
    assert.deepEqual(
      paths.filter((path) => !/^tile\/0\/[^.]*$/.test(path)),
      ['tile/0/273.p/112', 'tile/1/000', 'tile/1/001.p/17', 'tile/2/000.p/1'],
    )
    const subtrees = inclusionSubtrees(69_999n, 70_000n)
    const path = rootsFromTiles(subtrees, 70_000n, store.read)
    verifyInclusion(
      leafHash(Uint8Array.of(1, 0x11, 0x6f)),
      69_999n,
      path,
      compactRangeFromTiles(70_000n, store.read).head(),
    )
  })

  it('proves each entry of a tree by the hashes that RFC 9162 defines', () => {
    for (let count = 1; count <= 20; count++) {
      for (let i = 0; i < count; i++) {
        const path = rootsFromTiles(inclusionSubtrees(BigInt(i), BigInt(count)), BigInt(count), storeOf(count).read)
        assert.deepEqual(path, referencePath(i, ENTRIES.slice(0, count)))
      }
    }
  })
  it('proves that a tree begins with another by the hashes that RFC 9162 defines', () => {
    for (let newer = 1; newer <= 20; newer++) {
      for (let older = 1; older <= newer; older++) {
        const subtrees = consistencySubtrees(BigInt(older), BigInt(newer))
        const path = rootsFromTiles(subtrees, BigInt(newer), storeOf(newer).read)
        assert.deepEqual(path, referenceConsistency(older, ENTRIES.slice(0, newer)))
      }
    }
  })
  it('proves any entry of any tree, from the tiles foretold alone', () => {
    fc.assert(
      fc.property(size, fc.nat(), (count, anyIndex) => {
        const [index, treeSize] = [BigInt(anyIndex % count), BigInt(count)]
        const subtrees = inclusionSubtrees(index, treeSize)
        const store = storeOf(count)
        const fetched = new Map(tilesOf(subtrees, treeSize).map((tile) => [hashTilePath(tile), store.read(tile)]))
        const path = rootsFromTiles(subtrees, treeSize, (tile) => fetched.get(hashTilePath(tile)) as Uint8Array)
        verifyInclusion(leafHash(ENTRIES[Number(index)] as Uint8Array), index, path, head(count))
      }),
      { numRuns },
    )
  })
  it('proves that any tree begins with any smaller one, and no tile is read twice', () => {
    fc.assert(
      fc.property(size, fc.nat(), (newer, any) => {
        const older = any % (newer + 1)
        const subtrees = consistencySubtrees(BigInt(older), BigInt(newer))
        const asked: string[] = []
        const store = storeOf(newer)
        const path = rootsFromTiles(subtrees, BigInt(newer), (tile) => {
          asked.push(hashTilePath(tile))
          return store.read(tile)
        })
        verifyConsistency(head(older), path, head(newer))
        assert.deepEqual(asked.sort(), tilesOf(subtrees, BigInt(newer)).map(hashTilePath).sort())
        assert.equal(new Set(asked).size, asked.length)
      }),
      { numRuns },
    )
  })
  it('gives no proof that verifies when any bit of a tile that it is made of is wrong', () => {
    fc.assert(
      fc.property(size, fc.nat(), fc.nat(), (count, anyIndex, anyBit) => {
        const [index, treeSize] = [BigInt(anyIndex % count), BigInt(count)]
        const store = storeOf(count)
        const changed = (path: string, bytes: Uint8Array): Uint8Array => {
          const bit = anyBit % (8 * bytes.length)
          return path.startsWith('tile/0/') ? bytes.map((b, i) => (i === bit >> 3 ? b ^ (1 << (bit & 7)) : b)) : bytes
        }
        for (const [path, bytes] of store.files) store.files.set(path, changed(path, bytes))
        const before = rootsFromTiles(inclusionSubtrees(index, treeSize), treeSize, storeOf(count).read)
        const after = rootsFromTiles(inclusionSubtrees(index, treeSize), treeSize, store.read)
        const leaf = leafHash(ENTRIES[Number(index)] as Uint8Array)
        const verify = (): void => verifyInclusion(leaf, index, after, head(count))
        // the bit may be of the entry's own leaf hash, which its path does not have
        if (after.every((hash, i) => Buffer.from(hash).equals(before[i] as Uint8Array))) verify()
        else assert.throws(verify, { code: 'LOG_PROOF_MISMATCH' })
      }),
      { numRuns },
    )
  })

  it('may answer with a wider tile where the partial one is gone', () => {
    const grown = STORE.files.get('tile/0/000') as Uint8Array
    const path = rootsFromTiles(inclusionSubtrees(3n, 7n), 7n, () => grown)
    verifyInclusion(leafHash(ENTRIES[3] as Uint8Array), 3n, path, head(7))
  })
  const wrongSizes = [0, 31, 6 * 32, 7 * 32 + 1, 257 * 32]
  for (const bytes of wrongSizes) {
    it(`refuses ${bytes} bytes as a tile of 7 hashes`, () => {
      assert.throws(() => rootsFromTiles(inclusionSubtrees(3n, 7n), 7n, () => new Uint8Array(bytes)), {
        code: 'LOG_TILE_INVALID',
      })
    })
  }
  it('has no proof for what is not in it', () => {
    for (const [index, count] of [
      [-1n, 7n],
      [7n, 7n],
      [0n, 0n],
    ] as const) {
      assert.throws(() => inclusionSubtrees(index, count), { code: 'LOG_PROOF_MALFORMED' })
    }
    assert.throws(() => consistencySubtrees(8n, 7n), { code: 'LOG_PROOF_MALFORMED' })
    assert.throws(() => inclusionSubtrees(0n, 2n ** 63n), RangeError)
    assert.throws(() => rootsFromTiles([{ start: 0n, end: 8n }], 7n, STORE.read), RangeError)
  })
  it('needs few tiles for a proof in the largest tree', () => {
    const subtrees = inclusionSubtrees(2n ** 62n, 2n ** 63n - 1n)
    assert.ok(subtrees.length <= 63)
    assert.ok(tilesOf(subtrees, 2n ** 63n - 1n).length <= 16)
  })
})
