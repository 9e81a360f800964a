import assert from 'node:assert/strict'
import { concatBytes, fromUtf8, utf8 } from '../../../attestation/base/index.ts'
import {
  CompactRange,
  compactRangeFromTiles,
  consistencySubtrees,
  decodeHashTile,
  encodeEntryBundle,
  inclusionSubtrees,
  type LogTrust,
  leafHash,
  parseVerifierKey,
  rootsFromTiles,
  signNote,
  type Tile,
  type TileReader,
  TransparencyLogError,
  tileOfTree,
  type VerifiedCheckpoint,
  verifyCheckpoint,
  verifyConsistency,
  verifyEntries,
  verifyInclusion,
} from '../../../attestation/transparency-log/index.ts'
import { ed25519PrivateKey } from '../../support/log-keys.ts'
import { externalVectors, skipWithoutVectors } from '../../support/vectors.ts'

// A log of 15 entries that Tessera wrote: its index says that checkpoint.N has N leaves, and to recompute the roots.
const LOG = externalVectors('tlog/tessera')

const CHECKPOINTS: readonly { file: string; size: number }[] = [
  { file: 'checkpoint.0', size: 0 },
  { file: 'checkpoint.7', size: 7 },
  { file: 'checkpoint.15', size: 15 },
  { file: 'checkpoint', size: 15 },
]
const HASH_TILES = [1, 8, 15].map((width) => ({ file: `tile_0_000.p_${width}`, width }))
const BUNDLES = [8, 15].map((width) => ({ file: `tile_entries_000.p_${width}`, width }))

const flipped = (bytes: Uint8Array, bit: number): Uint8Array =>
  bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))

describe('a log of Tessera', () => {
  if (LOG === undefined) {
    it('is read where its files are', function () {
      skipWithoutVectors(this, 'tlog/tessera')
    })
    return
  }
  const script = LOG.text('build_log.sh.txt')
  const trust: LogTrust = {
    origin: 'example.com/log/testdata',
    logKeys: [parseVerifierKey(exported('LOG_PUBLIC_KEY'))],
  }
  const read: TileReader = () => LOG.read('tile_0_000.p_15')
  const verified = (file: string): VerifiedCheckpoint => verifyCheckpoint(LOG.read(file), trust)
  const tile = (width: number): Tile => tileOfTree(0, 0n, BigInt(width))
  const entries = verifyEntries(LOG.read('tile_entries_000.p_15'), LOG.read('tile_0_000.p_15'), tile(15))

  /** A variable of the script that made the log. */
  function exported(name: string): string {
    return new RegExp(`^export ${name}="([^"]*)"$`, 'm').exec(script)?.[1] ?? ''
  }

  it('has no file that is not tested here', () => {
    const tested = ['build_log.sh.txt', ...[...CHECKPOINTS, ...HASH_TILES, ...BUNDLES].map(({ file }) => file)]
    assert.deepEqual(LOG.list(), tested.sort())
  })

  for (const { file, size } of CHECKPOINTS) {
    it(`${file} is signed, of ${size} leaves, with the root of the first ${size} entries`, () => {
      const checkpoint = verified(file)
      const range = new CompactRange()
      for (const entry of entries.slice(0, size)) range.append(leafHash(entry))
      assert.deepEqual({ size: checkpoint.size, root: checkpoint.root }, range.head())
      assert.deepEqual(compactRangeFromTiles(BigInt(size), read).head(), range.head())
    })
    it(`${file} is refused with any bit changed`, () => {
      const note = LOG.read(file)
      for (let bit = 0; bit < 8 * note.length; bit++) {
        assert.throws(() => verifyCheckpoint(flipped(note, bit), trust), TransparencyLogError)
      }
    })
    it(`${file} is what the log's private key signs`, () => {
      // the private key is the text PRIVATE+KEY, name, id, and base64 of a type and the seed
      const [, , name = '', , ...seed] = exported('LOG_PRIVATE_KEY').split('+')
      const key = ed25519PrivateKey(new Uint8Array(Buffer.from(seed.join('+'), 'base64').subarray(1)))
      const text = fromUtf8(LOG.read(file)).split('\n\n')[0]
      assert.deepEqual(signNote(`${text}\n`, name, key), LOG.read(file))
    })
  }
  it('is refused as another log, or with another key', () => {
    const other = { ...trust, origin: 'example.com/log' }
    assert.throws(() => verifyCheckpoint(LOG.read('checkpoint'), other), { code: 'LOG_CHECKPOINT_ORIGIN' })
    const changed = exported('LOG_PUBLIC_KEY').replace('33d7b496', '33d7b497')
    assert.throws(() => parseVerifierKey(changed), { code: 'LOG_KEY_INVALID' })
  })

  for (const { file, width } of HASH_TILES) {
    it(`${file} has the leaf hashes of the first ${width} entries`, () => {
      assert.deepEqual(decodeHashTile(LOG.read(file), tile(width)), entries.slice(0, width).map(leafHash))
    })
    it(`${file} makes no proof of the log with any bit changed`, () => {
      const good = LOG.read(file)
      const size = BigInt(width)
      const head = compactRangeFromTiles(size, () => good).head()
      for (let bit = 0; bit < 8 * good.length; bit++) {
        assert.notDeepEqual(compactRangeFromTiles(size, () => flipped(good, bit)).head().root, head.root)
      }
      assert.throws(() => decodeHashTile(good.subarray(1), tile(width)), { code: 'LOG_TILE_INVALID' })
    })
  }
  for (const { file, width } of BUNDLES) {
    it(`${file} has the first ${width} entries, as its hash tile commits to them`, () => {
      const bundle = LOG.read(file)
      const hashTile = LOG.read(`tile_0_000.p_${width}`)
      assert.deepEqual(verifyEntries(bundle, hashTile, tile(width)), entries.slice(0, width))
      assert.deepEqual(encodeEntryBundle(entries.slice(0, width)), bundle)
      for (let bit = 0; bit < 8 * bundle.length; bit++) {
        assert.throws(() => verifyEntries(flipped(bundle, bit), hashTile, tile(width)), { code: 'LOG_ENTRIES_INVALID' })
      }
    })
  }
  it('has the entries that its script appended', () => {
    const words = /^for i in (.*); do$/m.exec(script)?.[1]?.split(' ') ?? []
    assert.deepEqual(entries, words.map(utf8))
  })

  it('proves each entry to each checkpoint that has it, and no other entry', () => {
    for (const { file, size } of CHECKPOINTS) {
      const checkpoint = verified(file)
      for (let i = 0; i < size; i++) {
        const path = rootsFromTiles(inclusionSubtrees(BigInt(i), BigInt(size)), BigInt(size), read)
        verifyInclusion(leafHash(entries[i] as Uint8Array), BigInt(i), path, checkpoint)
        const other = leafHash(concatBytes(entries[i] as Uint8Array, utf8('!')))
        assert.throws(() => verifyInclusion(other, BigInt(i), path, checkpoint), { code: 'LOG_PROOF_MISMATCH' })
      }
    }
  })
  it('proves that each checkpoint goes on from the ones before', () => {
    for (const [i, older] of CHECKPOINTS.entries()) {
      for (const newer of CHECKPOINTS.slice(i)) {
        const [from, to] = [verified(older.file), verified(newer.file)]
        const path = rootsFromTiles(consistencySubtrees(from.size, to.size), to.size, read)
        verifyConsistency(from, path, to)
        const changed = { ...to, root: flipped(to.root, 0) }
        if (from.size > 0n) assert.throws(() => verifyConsistency(from, path, changed), { code: 'LOG_PROOF_MISMATCH' })
      }
    }
  })
})
