import assert from 'node:assert/strict'
import { bytesText, digest, extendChain, type HashAlgorithm, hashSize } from '../../../attestation/crypto/index.ts'

const BANKS: readonly HashAlgorithm[] = ['sha1', 'sha256', 'sha384', 'sha512']

describe('a register extended in place', () => {
  for (const bank of BANKS) {
    it(`is the ${bank} one that TPM2_PCR_Extend makes`, () => {
      const chain = extendChain(bank, new Uint8Array(hashSize(bank)))
      let value: Uint8Array = new Uint8Array(hashSize(bank))
      for (let i = 0; i < 5; i++) {
        const event = new Uint8Array(hashSize(bank)).fill(0xf0 + i)
        value = digest(bank, value, event)
        assert.equal(chain.extend(event), bytesText(value))
        assert.deepEqual(chain.value(), value)
      }
    })

    it(`refuses a digest that is not of ${bank}'s length`, () => {
      const chain = extendChain(bank, new Uint8Array(hashSize(bank)))
      assert.throws(() => chain.extend(new Uint8Array(hashSize(bank) - 1)), RangeError)
      assert.throws(() => chain.extend(new Uint8Array(hashSize(bank) + 1)), RangeError)
      assert.throws(() => extendChain(bank, new Uint8Array(hashSize(bank) + 1)), RangeError)
    })
  }

  it('gives a value that a later extend does not change', () => {
    const chain = extendChain('sha256', new Uint8Array(32))
    chain.extend(new Uint8Array(32))
    const before = chain.value()
    const copy = before.slice()
    chain.extend(new Uint8Array(32))
    assert.deepEqual(before, copy)
  })
})
