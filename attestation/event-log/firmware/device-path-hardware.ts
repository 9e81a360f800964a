import type { DataReader } from './data-reader.ts'
import { hex, type NodeText, vendorNode } from './device-path-node.ts'

/** Type 1. UEFI 2.10 §10.3.2 and §10.6. */
export const HARDWARE_NODES: ReadonlyMap<number, NodeText> = new Map<number, NodeText>([
  [
    1,
    (r) => {
      const func = r.u8('Function')
      return `Pci(${hex(r.u8('Device'))},${hex(func)})`
    },
  ],
  [2, (r) => `PcCard(${hex(r.u8('Function'))})`],
  [3, (r) => `MemoryMapped(${hex(r.u32('Memory Type'))},${hex(r.u64('Start'))},${hex(r.u64('End'))})`],
  [4, vendorNode('VenHw')],
  [5, (r) => `Ctrl(${hex(r.u32('Controller Number'))})`],
  [6, (r) => `BMC(${hex(r.u8('Interface Type'))},${hex(r.u64('Base Address'))})`],
])

/** The EISA identifiers that have text of their own, by product number of PNP. */
const PNP_NAMES: ReadonlyMap<number, string> = new Map([
  [0x0a03, 'PciRoot'],
  [0x0a08, 'PcieRoot'],
  [0x0604, 'Floppy'],
  [0x0301, 'Keyboard'],
  [0x0501, 'Serial'],
  [0x0401, 'ParallelPort'],
])
/** "PNP" in EISA's compressed form, low half of an identifier. */
const EISA_PNP = 0x41d0

/** Type 2. UEFI 2.10 §10.3.3 and §10.6. */
export const ACPI_NODES: ReadonlyMap<number, NodeText> = new Map<number, NodeText>([
  [
    1,
    (r) => {
      const hid = r.u32('_HID')
      const uid = hex(r.u32('_UID'))
      const name = (hid & 0xffff) === EISA_PNP ? PNP_NAMES.get(hid >>> 16) : undefined
      return name === undefined ? `Acpi(${eisaText(hid)},${uid})` : `${name}(${uid})`
    },
  ],
  [
    2,
    (r) => {
      const [hid, uid, cid] = [r.u32('_HID'), r.u32('_UID'), r.u32('_CID')]
      const [hidText, uidText, cidText] = [asciiz(r, '_HIDSTR'), asciiz(r, '_UIDSTR'), asciiz(r, '_CIDSTR')]
      return `AcpiEx(${eisaText(hid)},${eisaText(cid)},${hex(uid)},${hidText},${cidText},${uidText})`
    },
  ],
  [
    3,
    (r) => {
      const addresses: string[] = []
      while (r.remaining > 0) addresses.push(hex(r.u32('_ADR')))
      return `AcpiAdr(${addresses.join(',')})`
    },
  ],
])

function asciiz(r: DataReader, field: string): string {
  let text = ''
  for (let byte = r.u8(field); byte !== 0; byte = r.u8(field)) text += String.fromCharCode(byte)
  return text
}

/** Three letters of five bits in the low half, four hexadecimal digits in the high half; 0 is none. */
function eisaText(id: number): string {
  if (id === 0) return '0'
  const letters = [10, 5, 0].map((shift) => String.fromCharCode(0x40 + ((id >>> shift) & 0x1f))).join('')
  return `${letters}${(id >>> 16).toString(16).toUpperCase().padStart(4, '0')}`
}
