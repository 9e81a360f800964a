import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, fromHex, utf8 } from '../../../attestation/base/index.ts'
import {
  decodeEntryBundle,
  encodeEntryBundle,
  entryBundlePath,
  hashTilePath,
  leafHash,
  parseTilePath,
  tileOfTree,
  verifyEntries,
} from '../../../attestation/transparency-log/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const numRuns = fuzzRuns(200)
const INVALID_TILE = { code: 'LOG_TILE_INVALID' }
const INVALID_ENTRIES = { code: 'LOG_ENTRIES_INVALID' }

describe('the path of a tile', () => {
  it('has three digits in a folder, with an x in all but the last', () => {
    assert.equal(hashTilePath({ level: 0, index: 0n, width: 256 }), 'tile/0/000')
    assert.equal(hashTilePath({ level: 63, index: 999n, width: 1 }), 'tile/63/999.p/1')
    assert.equal(hashTilePath({ level: 2, index: 1000n, width: 256 }), 'tile/2/x001/000')
    assert.equal(entryBundlePath({ index: 1_234_067n, width: 255 }), 'tile/entries/x001/x234/067.p/255')
  })
  it('gives the tile back, of any level, index and width', () => {
    const [level, index, width] = [
      fc.nat(63),
      fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      fc.integer({ min: 1, max: 256 }),
    ]
    fc.assert(
      fc.property(level, index, width, (ofLevel, at, wide) => {
        const tile = { level: ofLevel, index: at, width: wide }
        assert.deepEqual(parseTilePath(hashTilePath(tile)), { kind: 'hashes', tile })
        assert.deepEqual(parseTilePath(entryBundlePath(tile)), { kind: 'entries', tile: { ...tile, level: 0 } })
      }),
      { numRuns },
    )
  })

  const refused = [
    '',
    'checkpoint',
    'tile/0',
    'tile/0/',
    'tile/0/0',
    'tile/0/0000',
    'tile/0/x000',
    'tile/0/x000/001', // 001, written longer
    'tile/0/001/001',
    'tile/0/x1/001',
    'tile/64/000',
    'tile/00/000',
    'tile/-1/000',
    'tile/0/000.p/0',
    'tile/0/000.p/01',
    'tile/0/000.p/256',
    'tile/0/000.p/300',
    'tile/0/000.p/',
    'tile/0/000.p',
    'tile/0/000/',
    '/tile/0/000',
    'tile/0/../000',
    'tile/entries/../../checkpoint',
    'tile/data/000',
    'tile/0/x009/x223/x372/x036/x854/x775/808', // 2^63
    `tile/0${'/x001'.repeat(1000)}/001`,
    'tile/0/000\n',
    'tile/0/٠٠٠',
  ]
  for (const path of refused) {
    it(`is not ${JSON.stringify(path.slice(0, 50))}`, () => assert.throws(() => parseTilePath(path), INVALID_TILE))
  }
  it('is given for any text, or the text is refused', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^(tile\/)?[0-9entris.px/]{0,30}$/), (path) => {
        try {
          const { kind, tile } = parseTilePath(path)
          assert.equal(kind === 'hashes' ? hashTilePath(tile) : entryBundlePath(tile), path)
        } catch (err) {
          assert.equal((err as { code?: string }).code, 'LOG_TILE_INVALID')
        }
      }),
      { numRuns },
    )
  })
})

describe('a tile of a tree', () => {
  it('is as wide as the tree has hashes of its level', () => {
    assert.equal(tileOfTree(0, 0n, 256n).width, 256)
    assert.equal(tileOfTree(1, 0n, 256n).width, 1)
    assert.equal(tileOfTree(0, 273n, 70_000n).width, 112)
    assert.equal(tileOfTree(1, 1n, 70_000n).width, 17)
    assert.equal(tileOfTree(2, 0n, 70_000n).width, 1)
    assert.equal(tileOfTree(7, 0n, 2n ** 63n - 1n).width, 127)
  })
  it('is never empty', () => {
    for (const [level, index, size] of [
      [0, 0n, 0n],
      [1, 0n, 255n],
      [0, 1n, 256n],
      [3, 0n, 70_000n],
      [0, -1n, 9n],
    ] as const) {
      assert.throws(() => tileOfTree(level, index, size), INVALID_TILE)
    }
  })
})

describe('an entry bundle', () => {
  const entries = fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 256 })

  it('gives its entries back', () => {
    fc.assert(
      fc.property(entries, (list) => assert.deepEqual(decodeEntryBundle(encodeEntryBundle(list), list.length), list)),
      { numRuns },
    )
  })
  it('has each entry behind its length in two bytes', () => {
    assert.deepEqual(encodeEntryBundle([utf8('one'), utf8(''), utf8('two')]), fromHex('00036f6e650000000374776f'))
    const largest = new Uint8Array(0xffff).fill(1)
    assert.deepEqual(decodeEntryBundle(encodeEntryBundle([largest]), 1), [largest])
  })
  it('may have grown since', () => {
    assert.deepEqual(decodeEntryBundle(encodeEntryBundle([utf8('one'), utf8('two')]), 1), [utf8('one')])
  })

  const good = encodeEntryBundle([utf8('one'), utf8('two')])
  it('is refused at every cut, and with a byte behind it', () => {
    for (let end = 0; end < good.length; end++) {
      assert.throws(() => decodeEntryBundle(good.subarray(0, end), 2), INVALID_ENTRIES)
    }
    assert.throws(() => decodeEntryBundle(concatBytes(good, Uint8Array.of(0)), 2), INVALID_ENTRIES)
  })
  it('is refused with more than 256 entries, or fewer than asked for', () => {
    assert.throws(() => decodeEntryBundle(new Uint8Array(2 * 257), 256), INVALID_ENTRIES)
    assert.throws(() => decodeEntryBundle(good, 3), INVALID_ENTRIES)
  })
  it('is not made of none, too many, or too long entries', () => {
    for (const list of [[], Array.from({ length: 257 }, () => utf8('')), [new Uint8Array(0x10000)]]) {
      assert.throws(() => encodeEntryBundle(list), INVALID_ENTRIES)
    }
  })
  it('is believed only where the hash tile has each of its entries', () => {
    const list = [utf8('one'), utf8('two')]
    const tile = tileOfTree(0, 0n, 2n)
    const hashes = concatBytes(...list.map(leafHash))
    assert.deepEqual(verifyEntries(good, hashes, tile), list)
    for (let bit = 0; bit < 8 * good.length; bit++) {
      const changed = good.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
      assert.throws(() => verifyEntries(changed, hashes, tile), INVALID_ENTRIES)
    }
    assert.throws(() => verifyEntries(good, hashes.subarray(1), tile), INVALID_TILE)
  })
})
