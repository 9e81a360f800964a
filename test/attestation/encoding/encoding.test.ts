import assert from 'node:assert/strict'
import { encode } from 'cborg'
import fc from 'fast-check'
import { fromHex, utf8 } from '../../../attestation/base/index.ts'
import {
  type CborWritable,
  decodeCborFirst,
  decodeCborItem,
  EncodingError,
  encodeCborItem,
  isMap,
  parseJson,
  parseJsonTexts,
  type Value,
} from '../../../attestation/encoding/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const LIMITS = { maxBytes: 4096, maxDepth: 8, maxItems: 512 }
const json = (text: string, more = {}) => parseJson(utf8(text), { ...LIMITS, ...more })
const cbor = (hex: string, tags: number[] = []) => decodeCborItem(fromHex(hex), { ...LIMITS, tags })
const map = (entries: Record<string, Value>): Value => new Map(Object.entries(entries))

describe('strict JSON', () => {
  it('reads what JSON.parse reads, with maps for objects', () => {
    const text = ' { "a" : [ 1, -2, true, false, null, "\\u00e9\\n" ], "__proto__": {}, "": "" } '
    const expected = new Map<string, Value>([
      ['a', [1, -2, true, false, null, 'é\n']],
      ['__proto__', new Map()],
      ['', ''],
    ])
    assert.deepEqual(json(text), expected)
    assert.ok(isMap(json('{"__proto__":1}')))
  })

  it('keeps integers exact, and floats apart from them', () => {
    assert.equal(json('9007199254740993'), 9007199254740993n)
    assert.deepEqual(json('[1.0,1e3,-0]'), [{ float: 1 }, { float: 1000 }, 0])
  })

  it('reads lines and RFC 7464 sequences', () => {
    assert.deepEqual(parseJsonTexts(utf8('\u001e1\n\u001e2\n3\n'), LIMITS), [1, 2, 3])
  })

  it('allows trailing commas only where asked', () => {
    assert.deepEqual(json('[1,{"a":2,},]', { trailingCommas: true }), [1, map({ a: 2 })])
    assert.throws(() => json('[1,,]', { trailingCommas: true }), { code: 'ENCODING_NOT_JSON' })
  })

  const refused: [string, string, string][] = [
    ['a member twice', '{"a":1,"a":1}', 'ENCODING_DUPLICATE_KEY'],
    ['a member twice, once with an escape', '{"a":1,"\\u0061":1}', 'ENCODING_DUPLICATE_KEY'],
    ['a trailing comma', '[1,]', 'ENCODING_NOT_JSON'],
    ['a comment', '[1 // one\n]', 'ENCODING_NOT_JSON'],
    ['a leading zero', '[01]', 'ENCODING_NOT_JSON'],
    ['half a surrogate pair', '"\\ud800"', 'ENCODING_NOT_JSON'],
    ['an escape JSON has not', '"\\x41"', 'ENCODING_NOT_JSON'],
    ['a raw control character', '"\n"', 'ENCODING_NOT_JSON'],
    ['a string without end', '"abc\\', 'ENCODING_NOT_JSON'],
    ['a number beyond all bounds', '1e999', 'ENCODING_NOT_JSON'],
    ['a number of 50 digits', '1'.repeat(50), 'ENCODING_NOT_JSON'],
    ['nothing', '  ', 'ENCODING_NOT_JSON'],
    ['two values', '1 2', 'ENCODING_NOT_JSON'],
    ['a record separator, which belongs to sequences', '\u001e1', 'ENCODING_NOT_JSON'],
    ['a byte order mark', '\ufeff1', 'ENCODING_NOT_JSON'],
    ['nine arrays in one another', `${'['.repeat(10)}${']'.repeat(10)}`, 'ENCODING_TOO_COMPLEX'],
    ['600 values', `[${'1,'.repeat(600)}1]`, 'ENCODING_TOO_COMPLEX'],
    ['5000 bytes', ' '.repeat(5000), 'ENCODING_TOO_LONG'],
  ]
  for (const [name, text, code] of refused) it(`refuses ${name}`, () => assert.throws(() => json(text), { code }))

  it('refuses what is not UTF-8', () => {
    assert.throws(() => parseJson(fromHex('22ff22'), LIMITS), { code: 'ENCODING_NOT_JSON' })
  })

  it('gives what JSON.parse gives, or an EncodingError', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.nat(), fc.nat(127), (text, at, code) => {
        const damaged = `${text.slice(0, at % text.length)}${String.fromCharCode(code)}${text.slice((at % text.length) + 1)}`
        for (const candidate of [text, damaged]) {
          let mine: unknown
          try {
            mine = plain(parseJson(utf8(candidate), { maxBytes: 1 << 20, maxDepth: 20, maxItems: 1 << 16 }))
          } catch (err) {
            assert.ok(err instanceof EncodingError)
            continue
          }
          assert.deepEqual(mine, plainZero(JSON.parse(candidate)))
        }
      }),
      { numRuns: fuzzRuns(300) },
    )
  })
})

describe('strict CBOR', () => {
  it('reads maps with integer keys, tags that were asked for, and keeps floats apart', () => {
    assert.deepEqual(
      cbor('a301020341ff0463616263'),
      new Map<number, Value>([
        [1, 2],
        [3, fromHex('ff')],
        [4, 'abc'],
      ]),
    )
    assert.deepEqual(cbor('d8256161', [37]), { tag: 37, value: 'a' })
    assert.deepEqual(cbor('fb3ff0000000000000'), { float: 1 })
    assert.equal(cbor('1bffffffffffffffff'), 0xffffffffffffffffn)
    assert.equal(cbor('63efbbbf'), '\ufeff')
  })

  it('reads the items of a sequence', () => {
    assert.deepEqual(decodeCborFirst(fromHex('0102'), LIMITS), { value: 1, end: 1 })
  })

  const refused: [string, string, string][] = [
    ['a key twice', 'a2010101f6', 'ENCODING_DUPLICATE_KEY'],
    ['bytes as a key', 'a141ff01', 'ENCODING_NOT_CBOR'],
    ['a tag that was not asked for', 'c101', 'ENCODING_NOT_CBOR'],
    ['an indefinite array', '9f01ff', 'ENCODING_NOT_CBOR'],
    ['a longer head than needed', '1801', 'ENCODING_NOT_CBOR'],
    ['text that is not UTF-8', '61ff', 'ENCODING_NOT_CBOR'],
    ['undefined', 'f7', 'ENCODING_NOT_CBOR'],
    ['NaN', 'f97e00', 'ENCODING_NOT_CBOR'],
    ['a byte after the item', '0100', 'ENCODING_NOT_CBOR'],
    ['nothing', '', 'ENCODING_NOT_CBOR'],
    ['an array of 2^32 - 1 items', '9affffffff', 'ENCODING_TOO_COMPLEX'],
    ['an array of 2^53 items', '9b0020000000000000', 'ENCODING_NOT_CBOR'],
    ['bytes of 4 GiB', '5affffffff', 'ENCODING_NOT_CBOR'],
    ['nine arrays in one another', `${'81'.repeat(9)}01`, 'ENCODING_TOO_COMPLEX'],
    ['5000 bytes', '00'.repeat(5000), 'ENCODING_TOO_LONG'],
  ]
  for (const [name, hex, code] of refused) it(`refuses ${name}`, () => assert.throws(() => cbor(hex), { code }))

  const anyValue: fc.Arbitrary<CborWritable> = fc.letrec<{ value: CborWritable }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, true, false),
      fc.maxSafeInteger(),
      fc.string({ unit: 'grapheme' }),
      fc.uint8Array({ maxLength: 20 }),
      fc.array(tie('value'), { maxLength: 4 }),
      fc
        .uniqueArray(fc.tuple(fc.oneof(fc.integer(), fc.string()), tie('value')), {
          selector: ([k]) => k,
          maxLength: 4,
        })
        .map((entries) => new Map(entries)),
    ),
  })).value

  it('reads what was written, and gives a value or an EncodingError for anything else', () => {
    fc.assert(
      fc.property(anyValue, fc.nat(), fc.nat(255), (value, at, byte) => {
        const bytes = encodeCborItem(value)
        const limits = { maxBytes: 1 << 20, maxDepth: 20, maxItems: 1 << 16 }
        assert.deepEqual(encodeCborItem(decodeCborItem(bytes, limits) as CborWritable), bytes)
        bytes[at % bytes.length] = byte
        for (const piece of [bytes, bytes.subarray(0, at % bytes.length)]) {
          try {
            decodeCborItem(piece, limits)
          } catch (err) {
            assert.ok(err instanceof EncodingError)
          }
        }
      }),
      { numRuns: fuzzRuns(300) },
    )
  })

  it('reads what another encoder writes', () => {
    assert.deepEqual(cbor(Buffer.from(encode({ a: [1, 'b'] })).toString('hex')), map({ a: [1, 'b'] }))
  })
})

/** Values as JSON.parse gives them. */
function plain(value: Value): unknown {
  if (isMap(value)) {
    const out: Record<string, unknown> = {}
    for (const [k, v] of value)
      Object.defineProperty(out, k, { value: plain(v), enumerable: true, writable: true, configurable: true })
    return out
  }
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'object' && value !== null && 'float' in value) return plainZero(value.float)
  return value
}

function plainZero(value: unknown): unknown {
  if (Object.is(value, -0)) return 0
  if (Array.isArray(value)) return value.map(plainZero)
  if (typeof value === 'object' && value !== null) {
    for (const [k, v] of Object.entries(value))
      Object.defineProperty(value, k, { value: plainZero(v), enumerable: true, writable: true, configurable: true })
  }
  return value
}
