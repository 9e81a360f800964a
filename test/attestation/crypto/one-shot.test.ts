import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import fc from 'fast-check'
import {
  bytesText,
  digest,
  digestBuffer,
  digestInto,
  digestText,
  type HashAlgorithm,
  hashSize,
} from '../../../attestation/crypto/index.ts'

const BANKS: readonly HashAlgorithm[] = ['sha1', 'sha256', 'sha384', 'sha512']
const ALL_OCTETS = Uint8Array.from({ length: 256 }, (_, i) => i)

describe('one-shot digests', () => {
  for (const bank of BANKS) {
    it(`of ${bank} are those of the other form`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat({ max: 20 }), (bytes, from) => {
          const view = bytes.subarray(Math.min(from, bytes.length))
          assert.equal(digestText(bank, view), bytesText(digest(bank, view)))
        }),
      )
    })

    it(`of ${bank} are written at their place and nowhere else`, () => {
      const out = digestBuffer(hashSize(bank) + 2)
      digestInto(bank, ALL_OCTETS, out, 1)
      assert.deepEqual(new Uint8Array(out.subarray(1, -1)), digest(bank, ALL_OCTETS))
      assert.deepEqual([out[0], out.at(-1)], [0, 0])
    })
  }

  it('are written over what they are of', () => {
    const chain = digestBuffer(64)
    chain.fill(0xa5, 32)
    const expected = digest('sha256', new Uint8Array(chain))
    digestInto('sha256', chain, chain, 0)
    assert.deepEqual(new Uint8Array(chain.subarray(0, 32)), expected)
  })

  it('are the same on a Node without crypto.hash()', async () => {
    const { hash } = crypto
    try {
      Reflect.deleteProperty(crypto, 'hash')
      syncBuiltinESMExports()
      const without = (await import(`../../../attestation/crypto/one-shot.ts?${'without-hash'}`)) as {
        digestText: typeof digestText // the same file, loaded again
      }
      assert.notEqual(without.digestText, digestText)
      for (const bank of BANKS) assert.equal(without.digestText(bank, ALL_OCTETS), digestText(bank, ALL_OCTETS))
    } finally {
      Object.assign(crypto, { hash })
      syncBuiltinESMExports()
    }
  })
})
