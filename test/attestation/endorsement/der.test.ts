import assert from 'node:assert/strict'
import fc from 'fast-check'
import { DerReader, oidText, smallInteger, TAG } from '../../../attestation/endorsement/der.ts'
import { EndorsementError } from '../../../attestation/endorsement/index.ts'
import { fuzzRuns } from '../../support/fuzz.ts'

const read = (...bytes: number[]) => new DerReader(Uint8Array.from(bytes), 'X').read('field')
const malformed = { code: 'CERT_MALFORMED' }

describe('DER reader', () => {
  it('gives tag, content and the whole element as views into the input', () => {
    const bytes = Uint8Array.of(0x04, 0x02, 0xaa, 0xbb, 0x05, 0x00)
    const r = new DerReader(bytes, 'X')
    const first = r.expect('first', TAG.octetString)
    assert.deepEqual([...first.content], [0xaa, 0xbb])
    assert.equal(first.bytes.buffer, bytes.buffer)
    assert.equal(r.optional('none', TAG.integer), undefined)
    r.expect('second', TAG.null)
    r.end()
  })
  it('takes a length in more octets than it needs, as BER allows', () => {
    assert.deepEqual([...read(0x04, 0x83, 0, 0, 1, 0x77).content], [0x77])
  })
  for (const [what, bytes] of [
    ['nothing at all', []],
    ['a tag alone', [0x30]],
    ['a length beyond the end', [0x30, 0x05, 0x00]],
    ['a length of 4 GiB', [0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00]],
    ['a length of 2^31, which a shift would make negative', [0x30, 0x84, 0x80, 0, 0, 0]],
    ['a length of 126 octets', [0x30, 0xfe, 0x00]],
    ['an indefinite length', [0x30, 0x80, 0x00, 0x00]],
    ['a high tag number', [0x1f, 0x81, 0x01, 0x00]],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(() => read(...bytes), malformed)
    })
  }
  it('refuses another tag than wanted, and bytes left over, naming field and offset', () => {
    const r = new DerReader(Uint8Array.of(5, 0, 5, 0), 'Name')
    assert.throws(() => new DerReader(Uint8Array.of(5, 0), 'Name').expect('rdn', TAG.set), {
      code: 'CERT_MALFORMED',
      message: 'Name.rdn at offset 0 has tag 0x05, wanted 0x31',
    })
    r.read('a')
    assert.throws(() => r.end(), /2 bytes too many/)
  })
  it('reads object identifiers with large arcs and a first arc of 2', () => {
    assert.equal(oidText(Uint8Array.of(0x67, 0x81, 0x05, 0x08, 0x01)), '2.23.133.8.1')
    assert.equal(oidText(Uint8Array.of(0x55, 0x1d, 0x11)), '2.5.29.17')
    assert.equal(oidText(Uint8Array.of(0x88, 0x37)), '2.999')
    assert.equal(oidText(Uint8Array.of(0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)), '1.2.4398046511103')
  })
  it('refuses object identifiers that are empty, cut off, or longer than any in use', () => {
    for (const bytes of [[], [0x2a, 0x86], new Array(65).fill(1)]) {
      assert.throws(() => oidText(Uint8Array.from(bytes)), malformed)
    }
  })
  it('refuses negative and oversized small integers', () => {
    assert.equal(smallInteger(Uint8Array.of(0, 0x80), 'n'), 128)
    assert.throws(() => smallInteger(Uint8Array.of(0x80), 'n'), malformed)
    assert.throws(() => smallInteger(Uint8Array.of(), 'n'), malformed)
    assert.throws(() => smallInteger(Uint8Array.of(0x7f, 1, 1, 1, 1, 1, 1), 'n'), malformed)
  })
  it('gives an element or CERT_MALFORMED for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const r = new DerReader(bytes, 'X')
        try {
          while (!r.done) assert.ok(r.read('e').content.length <= bytes.length)
        } catch (err) {
          assert.ok(err instanceof EndorsementError && err.code === 'CERT_MALFORMED')
        }
      }),
      { numRuns: fuzzRuns(5000) },
    )
  })
})
