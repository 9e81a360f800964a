import assert from 'node:assert/strict'
import fc from 'fast-check'
import { fromHex } from '../../../attestation/base/index.ts'
import { limitInput, WIRE_ERRORS, WireError, WireReader, WireWriter } from '../../../attestation/tpm2/index.ts'

const reader = (hex: string): WireReader => new WireReader(fromHex(hex), 'TPMS_TEST')

describe('WireReader', () => {
  it('reads integers as big-endian, and 64 bits without loss', () => {
    const r = reader('01' + '0203' + '04050607' + 'ffffffffffffffff')
    assert.deepEqual([r.u8('a'), r.u16('b'), r.u32('c'), r.u64('d')], [1, 0x0203, 0x04050607, 2n ** 64n - 1n])
    r.end()
  })

  const refused: readonly { name: string; hex: string; read: (r: WireReader) => unknown; code: string }[] = [
    { name: 'an integer cut short', hex: '0102', read: (r) => r.u32('a'), code: 'WIRE_TRUNCATED' },
    { name: 'a buffer shorter than its size', hex: '000301', read: (r) => r.tpm2b('a', 8), code: 'WIRE_TRUNCATED' },
    { name: 'a view shorter than its size', hex: '000301', read: (r) => r.tpm2bView('a', 8), code: 'WIRE_TRUNCATED' },
    { name: 'a view above its maximum', hex: '000901', read: (r) => r.tpm2bView('a', 8), code: 'WIRE_TOO_LONG' },
    { name: 'a size above its maximum', hex: '000901', read: (r) => r.tpm2b('a', 8), code: 'WIRE_TOO_LONG' },
    { name: 'a count above its maximum', hex: '00000011', read: (r) => r.count('a', 16), code: 'WIRE_TOO_LONG' },
    { name: 'a rest above its maximum', hex: '010203', read: (r) => r.rest('a', 2), code: 'WIRE_TOO_LONG' },
    { name: 'another constant of 16 bits', hex: '0001', read: (r) => r.expectU16('a', 2), code: 'WIRE_BAD_VALUE' },
    { name: 'another constant of 32 bits', hex: '00000001', read: (r) => r.expectU32('a', 2), code: 'WIRE_BAD_VALUE' },
    { name: 'a boolean that is neither', hex: '02', read: (r) => r.yesNo('a'), code: 'WIRE_BAD_VALUE' },
    { name: 'a byte left over', hex: '01', read: (r) => r.end(), code: 'WIRE_TRAILING_BYTES' },
    {
      name: 'a byte left over inside a sized structure',
      hex: '00020102',
      read: (r) => r.sized('a', 8, (inner) => inner.u8('b')),
      code: 'WIRE_TRAILING_BYTES',
    },
  ]
  for (const { name, hex, read, code } of refused) {
    it(`refuses ${name} with ${code}`, () => assert.throws(() => read(reader(hex)), { name: 'WireError', code }))
  }

  it('names structure, field and offset, also inside a sized structure', () => {
    assert.throws(
      () => reader('ff0002ee').sized('outer', 8, (r) => r.u32('inner')),
      (err: unknown) => err instanceof WireError && err.code === 'WIRE_TOO_LONG',
    )
    const r = reader('ff0002eeee')
    r.u8('first')
    assert.throws(
      () => r.sized('outer', 8, (inner) => inner.u32('inner')),
      (err: unknown) =>
        err instanceof WireError && err.field === 'inner' && err.offset === 3 && /TPMS_TEST/.test(err.message),
    )
  })

  it('gives copies, so that a receive buffer may be used again', () => {
    const buffer = Buffer.from('000201020304', 'hex')
    const r = new WireReader(buffer, 'TPMS_TEST')
    const [sized, plain] = [r.tpm2b('a', 8), r.bytes('b', 2)]
    buffer.fill(0)
    assert.deepEqual([...sized, ...plain], [1, 2, 3, 4])
  })

  it('gives a view only where one is asked for, and of nothing but the field', () => {
    const buffer = Buffer.from('ff00020102ee', 'hex').subarray(1)
    const view = new WireReader(buffer, 'TPMS_TEST').tpm2bView('a', 8)
    buffer[2] = 9
    assert.deepEqual(view, Uint8Array.of(9, 2))
  })

  it('refuses input above the limit before reading it', () => {
    assert.throws(() => limitInput(new Uint8Array(9), 'TPMS_TEST', 8), { code: 'WIRE_TOO_LONG' })
    limitInput(new Uint8Array(8), 'TPMS_TEST', 8)
  })

  it('provokes each code somewhere above', () => {
    assert.deepEqual(Object.keys(WIRE_ERRORS).sort(), [...new Set(refused.map((c) => c.code))].sort())
  })
})

describe('WireWriter', () => {
  it('writes what WireReader reads', () => {
    const fields = fc.tuple(
      fc.integer({ min: 0, max: 0xff }),
      fc.integer({ min: 0, max: 0xffff }),
      fc.integer({ min: 0, max: 0xffffffff }),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.boolean(),
      fc.uint8Array({ maxLength: 600 }),
    )
    fc.assert(
      fc.property(fields, ([a, b, c, d, e, f]) => {
        const w = new WireWriter().u8(a).u16(b).u32(c).u64(d).yesNo(e).tpm2b(f)
        const r = new WireReader(w.sized((inner) => inner.bytes(f)).finish(), 'TPMS_TEST')
        assert.deepEqual(
          [r.u8('a'), r.u16('b'), r.u32('c'), r.u64('d'), r.yesNo('e'), r.tpm2b('f', 600)],
          [a, b, c, d, e, f],
        )
        assert.deepEqual(
          r.sized('g', 600, (inner) => inner.rest('h', 600)),
          f,
        )
        r.end()
      }),
    )
  })

  it('refuses a value that does not fit its field', () => {
    for (const write of [
      () => new WireWriter().u8(256),
      () => new WireWriter().u16(-1),
      () => new WireWriter().u32(1.5),
      () => new WireWriter().u32(2 ** 32),
      () => new WireWriter().u64(2n ** 64n),
      () => new WireWriter().u64(-1n),
      () => new WireWriter().tpm2b(new Uint8Array(65536)),
    ]) {
      assert.throws(write, RangeError)
    }
  })
})
