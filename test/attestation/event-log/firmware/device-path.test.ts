import assert from 'node:assert/strict'
import fc from 'fast-check'
import { concatBytes, fromHex, utf8 } from '../../../../attestation/base/index.ts'
import { decodeDevicePath } from '../../../../attestation/event-log/firmware/device-path.ts'
import { EventLogError } from '../../../../attestation/event-log/index.ts'
import {
  filePath,
  guid,
  PARTITION,
  PATH_END,
  pathNode,
  u8,
  u16,
  u32,
  u64,
  utf16,
} from '../../../support/firmware-log.ts'
import { fuzzRuns } from '../../../support/fuzz.ts'

const GUID = 'cdbb7b35-6833-4ed6-9ab2-57d2acddf6f0'
const INSTANCE_END = pathNode(0x7f, 0x01)

/** Nodes as UEFI 2.10 §10.3 lays them out, and their text by its §10.6. */
const NODES: readonly [type: number, subType: number, data: Uint8Array, text: string][] = [
  [1, 1, Uint8Array.of(2, 0x1d), 'Pci(0x1D,0x2)'],
  [1, 2, u8(3), 'PcCard(0x3)'],
  [1, 3, concatBytes(u32(11), u64(0x1000), u64(0x1fff)), 'MemoryMapped(0xB,0x1000,0x1FFF)'],
  [1, 4, concatBytes(guid(GUID), Uint8Array.of(1, 2)), `VenHw(${GUID},0102)`],
  [1, 5, u32(1), 'Ctrl(0x1)'],
  [1, 6, concatBytes(u8(1), u64(0xca2)), 'BMC(0x1,0xCA2)'],
  [2, 1, concatBytes(u32(0x0a0341d0), u32(0)), 'PciRoot(0x0)'],
  [2, 1, concatBytes(u32(0x0a0841d0), u32(1)), 'PcieRoot(0x1)'],
  [2, 1, concatBytes(u32(0x0c0f41d0), u32(2)), 'Acpi(PNP0C0F,0x2)'],
  [2, 2, concatBytes(u32(0x0a0341d0), u32(0), u32(0), utf8('A\0B\0\0')), 'AcpiEx(PNP0A03,0,0x0,A,,B)'],
  [2, 3, concatBytes(u32(0x80010100), u32(1)), 'AcpiAdr(0x80010100,0x1)'],
  [3, 1, Uint8Array.of(1, 0, 5, 0), 'Ata(Secondary,Master,0x5)'],
  [3, 2, concatBytes(u16(1), u16(2)), 'Scsi(0x1,0x2)'],
  [3, 3, concatBytes(u32(0), u64(0xabc), u64(1)), 'Fibre(0xABC,0x1)'],
  [3, 4, concatBytes(u32(0), u64(0xabc)), 'I1394(0000000000000abc)'],
  [3, 5, Uint8Array.of(11, 0), 'USB(0xB,0x0)'],
  [3, 6, u32(7), 'I2O(0x7)'],
  [3, 9, concatBytes(u32(1), guid(GUID), u64(1), u64(2), u64(3)), `Infiniband(0x1,${GUID},0x1,0x2,0x3)`],
  [3, 10, guid(GUID), `VenMsg(${GUID})`],
  [3, 11, concatBytes(fromHex('0cc47a3a785e'), new Uint8Array(26), u8(1)), 'MAC(0cc47a3a785e,0x1)'],
  [
    3,
    12,
    concatBytes(Uint8Array.of(10, 0, 0, 2, 10, 0, 0, 1), u32(0), u16(6), u8(1)),
    'IPv4(10.0.0.1,TCP,Static,10.0.0.2)',
  ],
  [
    3,
    13,
    concatBytes(
      new Uint8Array(15),
      u8(1),
      new Uint8Array(15),
      u8(2),
      u32(0),
      u16(17),
      u8(1),
      u8(64),
      new Uint8Array(16),
    ),
    'IPv6(0000:0000:0000:0000:0000:0000:0000:0002,UDP,StatelessAutoConfigure,0000:0000:0000:0000:0000:0000:0000:0001,64,0000:0000:0000:0000:0000:0000:0000:0000)',
  ],
  [3, 14, concatBytes(u32(0), u64(115200), Uint8Array.of(8, 1, 1)), 'Uart(115200,8,N,1)'],
  [3, 15, concatBytes(u16(0xffff), u16(0xffff), Uint8Array.of(3, 1, 1)), 'UsbClass(0xFFFF,0xFFFF,0x3,0x1,0x1)'],
  [3, 16, concatBytes(u16(1), u16(0x1d6b), u16(2), utf16('S1')), 'UsbWwid(0x1D6B,0x2,0x1,"S1")'],
  [3, 17, u8(2), 'Unit(0x2)'],
  [3, 18, concatBytes(u16(1), u16(0xffff), u16(0)), 'Sata(0x1,0xFFFF,0x0)'],
  [
    3,
    19,
    concatBytes(u16(0), u16(2), fromHex('0000000000000001'), u16(1), utf8('iqn.2024:t')),
    'iSCSI(iqn.2024:t,0x1,0x0000000000000001,0x2,TCP)',
  ],
  [3, 20, u16(100), 'Vlan(100)'],
  [
    3,
    21,
    concatBytes(u32(0), fromHex('50000000000000aa'), new Uint8Array(8)),
    'FibreEx(0x50000000000000aa,0x0000000000000000)',
  ],
  [
    3,
    22,
    concatBytes(fromHex('50000000000000aa'), new Uint8Array(8), u16(2), u16(3)),
    'SasEx(0x50000000000000aa,0x0000000000000000,0x3,0x2)',
  ],
  [3, 23, concatBytes(u32(1), fromHex('0102030405060708')), 'NVMe(0x1,08-07-06-05-04-03-02-01)'],
  [3, 24, utf8('https://boot.example/a.efi'), 'Uri(https://boot.example/a.efi)'],
  [3, 25, Uint8Array.of(0, 1), 'UFS(0x0,0x1)'],
  [3, 26, u8(1), 'SD(0x1)'],
  [3, 27, fromHex('aabbccddeeff'), 'Bluetooth(aabbccddeeff)'],
  [3, 28, concatBytes(utf8('net'), new Uint8Array(29)), 'Wi-Fi(net)'],
  [3, 29, u8(0), 'eMMC(0x0)'],
  [3, 30, concatBytes(fromHex('aabbccddeeff'), u8(1)), 'BluetoothLE(aabbccddeeff,0x1)'],
  [3, 31, concatBytes(u8(0), Uint8Array.of(9, 9, 9, 9), new Uint8Array(12)), 'Dns(9.9.9.9)'],
  [3, 32, guid(GUID), `NVDIMM(${GUID})`],
  [
    4,
    1,
    concatBytes(u32(2), u64(0x800), u64(0x1000), fromHex('78563412'), new Uint8Array(12), Uint8Array.of(1, 1)),
    'HD(2,MBR,0x12345678,0x800,0x1000)',
  ],
  [4, 1, concatBytes(u32(1), u64(1), u64(2), guid(PARTITION), Uint8Array.of(2, 2)), `HD(1,GPT,${PARTITION},0x1,0x2)`],
  [4, 2, concatBytes(u32(1), u64(0x20), u64(0x40)), 'CDROM(0x1,0x20,0x40)'],
  [4, 3, guid(GUID), `VenMedia(${GUID})`],
  [4, 4, utf16('\\EFI\\a.efi\0'), '\\EFI\\a.efi'],
  [4, 5, guid(GUID), `Media(${GUID})`],
  [4, 6, guid(GUID), `FvFile(${GUID})`],
  [4, 7, guid(GUID), `Fv(${GUID})`],
  [4, 8, concatBytes(u32(0), u64(0x200), u64(0x3ff)), 'Offset(0x200,0x3FF)'],
  [4, 9, concatBytes(u64(0x1000), u64(0x1fff), guid(GUID), u16(1)), `RamDisk(0x1000,0x1FFF,1,${GUID})`],
  [5, 1, concatBytes(u16(2), u16(0), utf8('WDC disk\0')), 'BBS(HD,WDC disk,0x0)'],
]

describe('a device path', () => {
  for (const [type, subType, data, text] of NODES) {
    it(`has the text of UEFI for a node of type ${type}, subtype ${subType}: ${text.slice(0, 48)}`, () => {
      assert.equal(decodeDevicePath(concatBytes(pathNode(type, subType, data), PATH_END)).text, text)
    })
  }

  it('shows a node that it does not know, or that has not the size of its type, in hexadecimal', () => {
    const text = (node: Uint8Array) => decodeDevicePath(concatBytes(node, PATH_END)).text
    assert.equal(text(pathNode(3, 99, Uint8Array.of(0xab, 1))), 'Path(3,99,ab01)')
    assert.equal(text(pathNode(9, 1)), 'Path(9,1)')
    assert.equal(text(pathNode(1, 1, Uint8Array.of(1))), 'Path(1,1,01)')
    assert.equal(text(pathNode(1, 1, Uint8Array.of(1, 2, 3))), 'Path(1,1,010203)')
  })

  it('has its instances behind one another, and what stands behind its end as well', () => {
    const [a, b] = [pathNode(1, 1, Uint8Array.of(0, 1)), pathNode(1, 1, Uint8Array.of(0, 2))]
    assert.equal(
      decodeDevicePath(concatBytes(a, b, INSTANCE_END, b, PATH_END)).text,
      'Pci(0x1,0x0)/Pci(0x2,0x0),Pci(0x2,0x0)',
    )
    assert.equal(decodeDevicePath(concatBytes(a, PATH_END, b, PATH_END)).text, 'Pci(0x1,0x0),Pci(0x2,0x0)')
    assert.equal(decodeDevicePath(a).text, 'Pci(0x1,0x0)', 'some firmware leaves out the end')
    assert.equal(decodeDevicePath(new Uint8Array(0)).text, '')
  })

  it('names the file, put together from all nodes of its first instance', () => {
    assert.equal(decodeDevicePath(filePath('\\EFI\\a.efi')).file, '\\EFI\\a.efi')
    const two = concatBytes(
      pathNode(4, 4, utf16('\\EFI\\\0')),
      pathNode(4, 4, utf16('\\a.efi\0')),
      PATH_END,
      filePath('\\b'),
    )
    assert.equal(decodeDevicePath(two).file, '\\EFI\\a.efi')
    assert.equal(decodeDevicePath(pathNode(1, 1, u16(0))).file, undefined)
  })

  const refused: readonly [why: string, bytes: Uint8Array][] = [
    ['a node of less than its header', Uint8Array.of(1, 1, 3, 0)],
    ['a length of 0, which would never end', Uint8Array.of(1, 1, 0, 0)],
    ['a node longer than the path', Uint8Array.of(1, 1, 7, 0, 0, 0)],
    ['a header that is cut', Uint8Array.of(1, 1, 4)],
    ['an end of no known kind', pathNode(0x7f, 0x33)],
    ['too many nodes', concatBytes(...Array.from({ length: 257 }, () => pathNode(1, 1, u16(0))))],
  ]
  for (const [why, bytes] of refused) {
    it(`is refused: ${why}`, () => {
      assert.throws(() => decodeDevicePath(bytes), { name: 'EventLogError', code: 'EVENT_LOG_BAD_CONTENT' })
    })
  }

  it('of any bytes gives a path or a coded error', () => {
    const node = fc.record({
      type: fc.integer({ min: 1, max: 5 }),
      subType: fc.integer({ min: 0, max: 34 }),
      data: fc.uint8Array({ maxLength: 64 }),
    })
    fc.assert(
      fc.property(fc.array(node, { maxLength: 6 }), fc.uint8Array({ maxLength: 12 }), (nodes, tail) => {
        const bytes = concatBytes(...nodes.map((n) => pathNode(n.type, n.subType, n.data)), tail)
        try {
          assert.equal(typeof decodeDevicePath(bytes).text, 'string')
        } catch (err) {
          assert.ok(err instanceof EventLogError)
        }
      }),
      { numRuns: fuzzRuns(2000) },
    )
  })
})
