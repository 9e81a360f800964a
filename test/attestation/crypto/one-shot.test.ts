import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  bytesText,
  digest,
  digestText,
  extendChain,
  type HashAlgorithm,
  hashSize,
} from '../../../attestation/crypto/index.ts'

const BANKS: readonly HashAlgorithm[] = ['sha1', 'sha256', 'sha384', 'sha512']

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

    it(`extend a ${bank} register as TPM2_PCR_Extend does`, () => {
      const chain = extendChain(bank, new Uint8Array(hashSize(bank)))
      let value: Uint8Array = new Uint8Array(hashSize(bank))
      for (let i = 0; i < 5; i++) {
        const event = new Uint8Array(hashSize(bank)).fill(0xf0 + i)
        value = digest(bank, value, event)
        assert.equal(chain.extend(event), bytesText(value))
        assert.deepEqual(chain.value(), value)
      }
    })

    it(`refuse a digest that is not of ${bank}'s length`, () => {
      const chain = extendChain(bank, new Uint8Array(hashSize(bank)))
      assert.throws(() => chain.extend(new Uint8Array(hashSize(bank) - 1)), RangeError)
      assert.throws(() => chain.extend(new Uint8Array(hashSize(bank) + 1)), RangeError)
      assert.throws(() => extendChain(bank, new Uint8Array(hashSize(bank) + 1)), RangeError)
    })
  }

  it('give a value that a later extend does not change', () => {
    const chain = extendChain('sha256', new Uint8Array(32))
    chain.extend(new Uint8Array(32))
    const before = chain.value()
    const copy = before.slice()
    chain.extend(new Uint8Array(32))
    assert.deepEqual(before, copy)
  })
})
