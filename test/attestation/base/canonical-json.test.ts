import assert from 'node:assert/strict'
import fc from 'fast-check'
import { canonicalJson } from '../../../attestation/base/index.ts'

describe('canonical JSON', () => {
  // The example of RFC 8785 §3.2.3: members sort by UTF-16 code units, so a surrogate pair sorts before U+FB33.
  it('sorts members by UTF-16 code units', () => {
    const value = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7 }
    assert.equal(canonicalJson(value), '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\ud83d\ude00":5,"\ufb33":3}')
  })
  it('has no white space, leaves undefined members out and writes -0 as 0', () => {
    assert.equal(canonicalJson({ b: [1, { d: null, c: undefined }], a: -0 }), '{"a":0,"b":[1,{"d":null}]}')
  })
  it('is the same text for the same value in any order of members', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.integer()), (value) => {
        const turned = Object.fromEntries(Object.entries(value).reverse())
        assert.equal(canonicalJson(turned), canonicalJson(value))
        assert.deepEqual(JSON.parse(canonicalJson(value)), { ...value })
      }),
    )
  })
  for (const [name, value] of [
    ['a fraction', 0.5],
    ['a number beyond the safe integers', 2 ** 53],
    ['NaN', Number.NaN],
    ['an unpaired surrogate', '\ud800'],
    ['an unpaired surrogate in a name', { '\udc00': 1 }],
    ['undefined', undefined],
    ['a bigint', 1n],
    ['a function', () => 1],
    ['bytes', new Uint8Array(1)],
    ['a date', new Date(0)],
    ['a hole in an array', [undefined]],
  ] as const) {
    it(`refuses ${name}`, () => assert.throws(() => canonicalJson(value), TypeError))
  }
})
