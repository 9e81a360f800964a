import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, utf8 } from '../../../../attestation/base/index.ts'
import { digest } from '../../../../attestation/crypto/index.ts'
import { decodeFirmwareEventData, EV, EventLogError, readFirmwareLog } from '../../../../attestation/event-log/index.ts'
import { cryptoAgileLog, sha1Log, specIdData, u32, type WrittenEvent } from '../../../support/firmware-log.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'
import { copiedVectors } from '../../../support/vectors.ts'

const SEPARATOR: WrittenEvent = { register: 0, type: EV.SEPARATOR, data: u32(0) }
const VERSION: WrittenEvent = { register: 0, type: EV.S_CRTM_VERSION, data: utf8('1.2') }
const SEVEN = [VERSION, ...[0, 1, 2, 3, 4, 5].map((register) => ({ ...SEPARATOR, register }))]
const SPEC_ID_BYTES = 32 + specIdData().length

function refused(bytes: Uint8Array, code: string, kind: 'tpm' | 'ccel' = 'tpm'): void {
  assert.throws(() => readFirmwareLog(bytes, { kind }), { name: 'EventLogError', code })
}

describe('a TCG firmware log', () => {
  it('is read in its crypto-agile form, with the digests of every bank', () => {
    const log = readFirmwareLog(cryptoAgileLog(SEVEN, { banks: ['sha1', 'sha256', 'sha384', 'sha512'] }))
    assert.equal(log.format, 'crypto-agile')
    assert.deepEqual(
      log.algorithms.map((a) => a.bank),
      ['sha1', 'sha256', 'sha384', 'sha512'],
    )
    assert.equal(log.events.length, 8)
    const version = log.events[1]
    assert.equal(version?.index, 1)
    assert.equal(version?.offset, 32 + specIdData({ banks: ['sha1', 'sha256', 'sha384', 'sha512'] }).length)
    assert.equal(version?.type, EV.S_CRTM_VERSION)
    for (const bank of ['sha1', 'sha256', 'sha384', 'sha512'] as const) {
      assert.deepEqual(version?.digests[bank], digest(bank, utf8('1.2')))
    }
    assert.deepEqual(version?.data, utf8('1.2'))
    assert.equal(log.padding, 0)
  })

  it('is read in the form of TPM 1.2 when no Spec ID event heads it', () => {
    const log = readFirmwareLog(sha1Log(SEVEN))
    assert.equal(log.format, 'sha1')
    assert.equal(log.events.length, 7)
    assert.deepEqual(Object.keys(log.events[0]?.digests ?? {}), ['sha1'])
  })

  it('stays in the form of TPM 1.2 after an EV_NO_ACTION that is no Spec ID event', () => {
    const locality: WrittenEvent = {
      register: 0,
      type: EV.NO_ACTION,
      data: utf8('StartupLocality\0\x03'),
      digests: [[4, new Uint8Array(20)]],
    }
    assert.equal(readFirmwareLog(sha1Log([locality, VERSION])).format, 'sha1')
  })

  it('carries digests of an unknown algorithm along by their size', () => {
    const log = readFirmwareLog(cryptoAgileLog(SEVEN, { banks: ['sha256'], unknown: [[0x12, 32]] }))
    assert.deepEqual(log.algorithms[1], { id: 0x12, size: 32 })
    assert.deepEqual(Object.keys(log.events[3]?.digests ?? {}), ['sha256'])
    assert.equal(log.events.length, 8)
  })

  it('accepts events with fewer digests than the Spec ID event lists', () => {
    const one: WrittenEvent = { ...VERSION, digests: [[0x0b, digest('sha256', utf8('1.2'))]] }
    assert.equal(readFirmwareLog(cryptoAgileLog([one], { banks: ['sha1', 'sha256'] })).events.length, 2)
  })

  it('gives the vendor bytes of the Spec ID event, also where its size leaves them out', () => {
    const vendorInfo = Uint8Array.of(0xde, 0xad, 0xbe, 0xef)
    const whole = cryptoAgileLog(SEVEN, { vendorInfo })
    const size = specIdData({ vendorInfo }).length
    const short = concatBytes(whole.subarray(0, 28), u32(size - 4), whole.subarray(32))
    for (const bytes of [whole, short]) {
      const log = readFirmwareLog(bytes)
      const head = log.events[0]
      assert.ok(head)
      const data = decodeFirmwareEventData(head, log)
      assert.ok(data.kind === 'spec-id')
      assert.deepEqual(data.vendorInfo, vendorInfo)
      assert.equal(log.events.length, 8)
    }
  })

  it('is read as a CCEL, whose registers are not PCRs', () => {
    const log = readFirmwareLog(cryptoAgileLog([{ ...VERSION, register: 4 }], { banks: ['sha384'] }), { kind: 'ccel' })
    assert.equal(log.registers, 'rtmr')
    refused(cryptoAgileLog([{ ...VERSION, register: 5 }], { banks: ['sha384'] }), 'EVENT_LOG_BAD_NUMBER', 'ccel')
    refused(sha1Log([{ ...VERSION, register: 1 }]), 'EVENT_LOG_UNKNOWN_FORMAT', 'ccel')
  })

  for (const fill of [0xff, 0x00]) {
    it(`ends where nothing but fill of 0x${fill.toString(16)} follows`, () => {
      const padding = new Uint8Array(100).fill(fill)
      const log = readFirmwareLog(cryptoAgileLog(SEVEN, { padding }))
      assert.equal(log.events.length, 8)
      assert.equal(log.padding, 100)
      const broken = padding.slice()
      broken[99] = 0x55
      assert.throws(() => readFirmwareLog(cryptoAgileLog(SEVEN, { padding: broken })), EventLogError)
    })
  }

  it('does not take the start of an event for fill', () => {
    const none: WrittenEvent = { register: 0xffffffff, type: EV.NO_ACTION, data: utf8('x') }
    const bytes = cryptoAgileLog([...SEVEN, none])
    const start = cryptoAgileLog(SEVEN).length
    for (let length = start + 1; length < bytes.length; length++) {
      refused(bytes.subarray(0, length), 'EVENT_LOG_TRUNCATED')
    }
    refused(cryptoAgileLog(SEVEN, { padding: new Uint8Array(8) }), 'EVENT_LOG_TRUNCATED')
    refused(concatBytes(sha1Log(SEVEN), new Uint8Array(31)), 'EVENT_LOG_TRUNCATED')
    assert.equal(readFirmwareLog(concatBytes(sha1Log(SEVEN), new Uint8Array(32))).padding, 32)
  })

  it("keeps Windows's event of no register, which is not extended", () => {
    const none: WrittenEvent = { register: 0xffffffff, type: EV.NO_ACTION, data: utf8('x') }
    assert.equal(readFirmwareLog(cryptoAgileLog([none])).events[1]?.register, 0xffffffff)
    refused(cryptoAgileLog([{ ...none, type: EV.ACTION }]), 'EVENT_LOG_BAD_NUMBER')
  })

  it('gives views of the log that are no Buffers', () => {
    const log = readFirmwareLog(Buffer.from(cryptoAgileLog(SEVEN)))
    assert.equal(Buffer.isBuffer(log.events[1]?.data), false)
    assert.equal(Buffer.isBuffer(log.events[1]?.digests.sha256), false)
  })
})

describe('what is no TCG firmware log', () => {
  const digests = (...list: [number, Uint8Array][]): WrittenEvent => ({ ...VERSION, digests: list })
  const sha256 = digest('sha256', utf8('1.2'))
  const cases: readonly [name: string, bytes: Uint8Array, code: string][] = [
    ['nothing', new Uint8Array(0), 'EVENT_LOG_TRUNCATED'],
    ['fill alone', new Uint8Array(64).fill(0xff), 'EVENT_LOG_UNKNOWN_FORMAT'],
    ['text', utf8(`[{"pcr": 0, "type": 3}]${' '.repeat(40)}`), 'EVENT_LOG_UNKNOWN_FORMAT'],
    [
      'a big-endian log',
      concatBytes(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 3), new Uint8Array(24)),
      'EVENT_LOG_UNKNOWN_FORMAT',
    ],
    ['a first register above 23', concatBytes(u32(24), new Uint8Array(60)), 'EVENT_LOG_UNKNOWN_FORMAT'],
    ['a register above 23', cryptoAgileLog([{ ...VERSION, register: 24 }]), 'EVENT_LOG_BAD_NUMBER'],
    [
      'a digest that the Spec ID event does not list',
      cryptoAgileLog([digests([0x0c, new Uint8Array(48)])]),
      'EVENT_LOG_BAD_DIGEST',
    ],
    ['an event of no digest', cryptoAgileLog([digests()]), 'EVENT_LOG_BAD_DIGEST'],
    [
      'two digests of one bank',
      cryptoAgileLog([digests([0x0b, sha256], [0x0b, sha256])]),
      'EVENT_LOG_DUPLICATE_DIGEST',
    ],
    [
      'more digests than any TPM has banks',
      cryptoAgileLog([digests(...Array.from({ length: 17 }, (): [number, Uint8Array] => [0x0b, sha256]))]),
      'EVENT_LOG_BAD_DIGEST',
    ],
    [
      'a known algorithm of another size',
      cryptoAgileLog([], { banks: [], unknown: [[0x0b, 20]] }),
      'EVENT_LOG_BAD_DIGEST',
    ],
    ['an algorithm of no size', cryptoAgileLog([], { unknown: [[0x12, 0]] }), 'EVENT_LOG_BAD_DIGEST'],
    ['an algorithm listed twice', cryptoAgileLog([], { banks: ['sha256', 'sha256'] }), 'EVENT_LOG_DUPLICATE_DIGEST'],
    ['no algorithm at all', cryptoAgileLog([], { banks: [] }), 'EVENT_LOG_UNKNOWN_FORMAT'],
    ['a UINTN of 16 bytes', cryptoAgileLog([], { uintnSize: 4 }), 'EVENT_LOG_UNKNOWN_FORMAT'],
  ]
  for (const [name, bytes, code] of cases) {
    it(`is refused with ${code}: ${name}`, () => refused(bytes, code))
  }

  it('is refused before anything is allocated: sizes and counts that the log cannot hold', () => {
    const log = cryptoAgileLog([VERSION])
    const at = (offset: number, value: number) => {
      const out = log.slice()
      out.set(u32(value), offset)
      return out
    }
    refused(at(SPEC_ID_BYTES + 8, 0x7fffffff), 'EVENT_LOG_BAD_DIGEST')
    refused(at(log.length - 7, 0xffffffff), 'EVENT_LOG_TOO_LONG')
    refused(at(log.length - 7, 1 << 20), 'EVENT_LOG_TRUNCATED')
    refused(at(28, 0xffffffff), 'EVENT_LOG_TOO_LONG')
    refused(at(32 + 24, 0x10000000), 'EVENT_LOG_TOO_LONG')
    refused(new Uint8Array((1 << 24) + 1), 'EVENT_LOG_TOO_LONG')
  })

  it('is refused with more events than are read', () => {
    const event = sha1Log([SEPARATOR])
    const many = new Uint8Array(event.length * ((1 << 16) + 1))
    for (let i = 0; i < many.length; i += event.length) many.set(event, i)
    refused(many, 'EVENT_LOG_TOO_LONG')
  })

  it('names the event and its offset', () => {
    const bytes = cryptoAgileLog(SEVEN)
    assert.throws(
      () => readFirmwareLog(bytes.subarray(0, bytes.length - 1)),
      /record 7 at offset \d+: the data wants 4/,
    )
  })
})

describe('a firmware log that is cut or changed', () => {
  const vm = copiedVectors('vm')
  const logs: readonly [string, Uint8Array][] = [
    ['written here, three banks', cryptoAgileLog(SEVEN, { banks: ['sha1', 'sha256', 'sha384'] })],
    ['written here, TPM 1.2', sha1Log(SEVEN)],
    ...vm.list().map((set): [string, Uint8Array] => [set, vm.read(`${set}/binary_bios_measurements`)]),
  ]
  for (const [name, bytes] of logs) {
    it(`is read only where it is cut between two events: ${name}`, () => {
      const log = readFirmwareLog(bytes)
      const ends = new Set(log.events.slice(1).map((e) => e.offset))
      for (let length = 0; length < bytes.length; length++) {
        const cut = bytes.subarray(0, length)
        if (ends.has(length)) assert.equal(readFirmwareLog(cut).padding, 0)
        else assert.throws(() => readFirmwareLog(cut), { name: 'EventLogError' }, `cut at ${length}`)
      }
    })
  }

  it('gives a log or a coded error for any change of some bytes', () => {
    const sources = logs.map(([, bytes]) => bytes)
    const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(fc.constantFrom(...sources), changes, (source, list) => {
        const bytes = source.slice()
        for (const [at, value] of list) bytes[at % bytes.length] = value
        try {
          readFirmwareLog(bytes)
        } catch (err) {
          assert.ok(err instanceof EventLogError)
        }
      }),
      { numRuns: fuzzRuns(2000) },
    )
  })

  it('gives a log or a coded error for any bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 400 }),
        fc.constantFrom('tpm' as const, 'ccel' as const),
        (bytes, kind) => {
          try {
            readFirmwareLog(concatBytes(new Uint8Array(4), bytes), { kind })
          } catch (err) {
            assert.ok(err instanceof EventLogError)
          }
        },
      ),
      { numRuns: fuzzRuns(2000) },
    )
  })
})
