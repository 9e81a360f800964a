import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, utf8 } from '../../../../attestation/base/index.ts'
import {
  decodeFirmwareEventData,
  describeFirmwareEvent,
  EV,
  type FirmwareEventData,
  readFirmwareLog,
  type SpdmData,
} from '../../../../attestation/event-log/index.ts'
import { ecKey, makeCertificate } from '../../../support/certificates.ts'
import { cryptoAgileLog, PATH_END, pathNode, u8, u16, u32, u64 } from '../../../support/firmware-log.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'

function read(data: Uint8Array): { data: FirmwareEventData; text: string } {
  const log = readFirmwareLog(cryptoAgileLog([{ register: 2, type: EV.EFI_SPDM_FIRMWARE_BLOB, data }]))
  const event = log.events[1]
  assert.ok(event)
  return { data: decodeFirmwareEventData(event, log), text: describeFirmwareEvent(event, log) }
}

function spdm(data: Uint8Array): SpdmData {
  const found = read(data).data
  assert.ok(found.kind === 'spdm', found.kind === 'malformed' ? found.why : found.kind)
  return found
}

const DIGEST = new Uint8Array(48).fill(0xd1)
const block = (index: number, type: number, value: Uint8Array) =>
  concatBytes(u8(index), u8(1), u16(3 + value.length), u8(type), u16(value.length), value)
const PCI = concatBytes(
  ...[u16(0), u16(16), u16(0x8086), u16(0x1521), u8(3), u8(0x00), u8(0x00), u8(0x02), u16(0x15d9), u16(0x1521)],
)
const PATH = concatBytes(pathNode(1, 1, Uint8Array.of(0, 3)), PATH_END)
const SHA384 = u32(1 << 2)

const version1 = (measured: Uint8Array, context: Uint8Array, device = 1) =>
  concatBytes(utf8('SPDM Device Sec\0'), u16(1), u16(28), SHA384, u32(device), measured, context)

interface Second {
  readonly auth?: number
  readonly device?: number
  readonly type?: number
  readonly sub: Uint8Array
  readonly context?: Uint8Array
}

function version2({ auth = 0, device = 1, type = 0, sub, context = PCI }: Second): Uint8Array {
  const head = concatBytes(utf8('SPDM Device Sec2'), u16(2), u8(auth), u8(0), u32(99), u32(device), u32(type))
  return concatBytes(head, u32(sub.length), u64(7), u64(PATH.length), PATH, sub, context)
}
const blocks = (...all: readonly Uint8Array[]) => concatBytes(u16(0x1200), u8(all.length), u8(0), SHA384, ...all)

describe('the event of a device that was asked over SPDM', () => {
  it('has, in version 1, one measurement and who the device is', () => {
    const found = spdm(version1(block(1, 0, DIGEST), PCI))
    assert.deepEqual(found, {
      kind: 'spdm',
      version: 1,
      device: 'pci',
      content: {
        form: 'measurements',
        hash: 'sha384',
        measurements: [{ index: 1, of: 'immutable ROM', form: 'digest', value: DIGEST }],
      },
      context: {
        ...{ bus: 'pci', vendorId: 0x8086, deviceId: 0x1521, revision: 3, classCode: 0x020000 },
        ...{ subsystemVendorId: 0x15d9, subsystemId: 0x1521 },
      },
    })
    assert.match(
      read(version1(block(1, 0, DIGEST), PCI)).text,
      /^SPDM, PCI device 8086:1521 revision 3, class 020000: immutable ROM \(1\) sha384 d1d1/,
    )
  })

  it('has, in version 2, how far the device is authenticated, where it is, and its measurements', () => {
    const sub = blocks(block(1, 1, DIGEST), block(2, 0x87, u64(5)), concatBytes(u8(3), u8(2), u16(1), u8(9)))
    const found = spdm(version2({ auth: 1, sub }))
    assert.deepEqual([found.authState, found.uid, found.path?.text], ['no-auth', 7n, 'Pci(0x3,0x0)'])
    assert.ok(found.content.form === 'measurements')
    assert.deepEqual(
      found.content.measurements.map(({ index, of, form, value }) => [index, of, form, value.length]),
      [
        [1, 'mutable firmware', 'digest', 48],
        [2, 'firmware security version', 'raw', 8],
        [3, 'unknown', 'raw', 1],
      ],
    )
    assert.match(read(version2({ auth: 1, sub })).text, /Pci\(0x3,0x0\), not authenticated: .*mutable firmware \(1\)/)
  })

  it('can have the certificates of the device instead', () => {
    const key = ecKey()
    const der = makeCertificate({
      subject: 'device 7',
      issuer: 'a maker'.repeat(20),
      key,
      issuerKey: key,
      extensions: [],
    })
    const chain = concatBytes(new Uint8Array(48), der, der)
    const sub = concatBytes(u16(0x1200), u8(2), u8(0), u32(1 << 1), u16(4 + chain.length), u16(0), chain)
    const found = spdm(version2({ type: 1, sub }))
    assert.deepEqual(found.content, { form: 'certificate-chain', slot: 2, certificates: [der, der] })
    assert.match(read(version2({ type: 1, sub })).text, /authenticated: 2 certificates of slot 2, CN=device 7/)
    const cut = concatBytes(
      u16(0x1200),
      u8(2),
      u8(0),
      u32(1 << 1),
      u16(3 + chain.length),
      u16(0),
      chain.subarray(0, -1),
    )
    assert.equal(read(version2({ type: 1, sub: cut })).data.kind, 'malformed')
  })

  it('is of a USB device, of one without a context, or of a form that is not known', () => {
    const usb = concatBytes(u16(0), u16(22), new Uint8Array(8), u16(0x1d6b), u16(2), new Uint8Array(6))
    assert.deepEqual(spdm(version1(block(1, 2, DIGEST), usb, 2)).context, {
      bus: 'usb',
      vendorId: 0x1d6b,
      productId: 2,
    })
    assert.equal(spdm(version1(block(1, 2, DIGEST), new Uint8Array(0), 2)).context, undefined)
    const other = spdm(version2({ auth: 0xff, device: 9, type: 0x7f, sub: u32(1), context: u32(1) }))
    assert.deepEqual(
      [other.device, other.authState, other.content.form, other.context],
      ['unknown', 'no-spdm', 'unknown', undefined],
    )
  })

  const refused: readonly [why: string, data: Uint8Array][] = [
    ['a block whose two sizes differ', version1(concatBytes(u8(1), u8(1), u16(9), u8(0), u16(4), u32(0)), PCI)],
    ['fewer blocks than said', version2({ sub: concatBytes(u16(0), u8(3), u8(0), SHA384, block(1, 0, DIGEST)) })],
    ['bytes behind the blocks', version2({ sub: concatBytes(blocks(block(1, 0, DIGEST)), u8(0)) })],
    ['a context that is cut', version2({ sub: blocks(), context: PCI.subarray(0, 9) })],
    ['bytes behind the context', version2({ sub: blocks(), context: concatBytes(PCI, u8(0)) })],
    ['a chain of an unknown hash', version2({ type: 1, sub: concatBytes(u16(0), u16(0), u32(3), u16(4), u16(0)) })],
    ['a sub header beyond the end', version2({ sub: blocks(), context: new Uint8Array(0) }).subarray(0, -1)],
  ]
  for (const [why, data] of refused) {
    it(`is malformed: ${why}`, () => assert.equal(read(data).data.kind, 'malformed'))
  }

  it('of any bytes is read or malformed, and gives one line', () => {
    const good = [version1(block(1, 0, DIGEST), PCI), version2({ sub: blocks(block(1, 0x86, DIGEST)) })]
    const change = fc.array(fc.tuple(fc.nat(120), fc.integer({ min: 0, max: 255 })), { maxLength: 4 })
    fc.assert(
      fc.property(fc.constantFrom(...good), change, fc.nat(200), (seed, changes, length) => {
        const data = seed.slice(0, length)
        for (const [at, value] of changes) if (at >= 16 && at < data.length) data[at] = value
        const { text } = read(data)
        assert.ok(text.length <= 400 && !/[\r\n]/.test(text))
      }),
      { numRuns: fuzzRuns(500) },
    )
  })
})
