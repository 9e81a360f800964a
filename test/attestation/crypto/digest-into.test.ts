import assert from 'node:assert/strict'
import { digest, digestBuffer, digestInto, hashSize } from '../../../attestation/crypto/index.ts'

describe('digestInto', () => {
  for (const alg of ['sha1', 'sha256', 'sha384', 'sha512'] as const) {
    it(`writes the ${alg} digest of any bytes at its place and nowhere else`, () => {
      const input = Uint8Array.from({ length: 256 }, (_, i) => i)
      const out = digestBuffer(hashSize(alg) + 2)
      digestInto(alg, input, out, 1)
      assert.deepEqual(new Uint8Array(out.subarray(1, -1)), digest(alg, input))
      assert.deepEqual([out[0], out.at(-1)], [0, 0])
    })
  }

  it('extends a register in place', () => {
    const chain = digestBuffer(64)
    chain.fill(0xa5, 32)
    const expected = digest('sha256', new Uint8Array(chain))
    digestInto('sha256', chain, chain, 0)
    assert.deepEqual(new Uint8Array(chain.subarray(0, 32)), expected)
  })
})
