import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, equalBytes, fromHex, fromUtf8, toHex, utf8 } from '../../../attestation/base/index.ts'

describe('bytes', () => {
  it('turn into hex and back unchanged', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => assert.deepEqual(fromHex(toHex(bytes)), bytes)))
    assert.equal(toHex(Uint8Array.of(0, 10, 255)), '000aff')
    assert.deepEqual(fromHex('0AfF'), Uint8Array.of(10, 255))
  })
  for (const text of ['0', 'zz', '0x00', ' 00', '0a\n', 'ａａ']) {
    it(`refuse ${JSON.stringify(text)} as hex`, () => assert.throws(() => fromHex(text), RangeError))
  }
  it('are put together in order', () => {
    assert.deepEqual(concatBytes(Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3)), Uint8Array.of(1, 2, 3))
  })
  it('are equal only when every byte and the length are', () => {
    assert.equal(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), true)
    assert.equal(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3)), false)
    assert.equal(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1)), false)
    assert.equal(equalBytes(new Uint8Array(0), new Uint8Array(0)), true)
  })
  it('refuse what is not UTF-8, and keep a byte order mark', () => {
    assert.throws(() => fromUtf8(Uint8Array.of(0xc0, 0xaf)), TypeError)
    assert.equal(fromUtf8(utf8('\ufeffa')), '\ufeffa')
  })
})
