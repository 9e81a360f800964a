import { toHex } from '../../base/index.ts'
import { guidText } from './data-reader.ts'
import { hex, type NodeText, vendorNode } from './device-path-node.ts'
import { asciiText, utf16Text, withoutNuls } from './text.ts'

const SIGNATURE_MBR = 1
const SIGNATURE_GUID = 2

/** Type 4. UEFI 2.10 §10.3.5 and §10.6. */
export const MEDIA_NODES: ReadonlyMap<number, NodeText> = new Map<number, NodeText>([
  [1, hardDrive],
  [2, (r) => `CDROM(${hex(r.u32('Boot Entry'))},${hex(r.u64('Partition Start'))},${hex(r.u64('Partition Size'))})`],
  [3, vendorNode('VenMedia')],
  [4, (r) => withoutNuls(utf16Text(r.rest()))],
  [5, (r) => `Media(${r.guid('Protocol GUID')})`],
  [6, (r) => `FvFile(${r.guid('Name')})`],
  [7, (r) => `Fv(${r.guid('Name')})`],
  [
    8,
    (r) => {
      r.u32('Reserved')
      return `Offset(${hex(r.u64('Starting Offset'))},${hex(r.u64('Ending Offset'))})`
    },
  ],
  [
    9,
    (r) => {
      const [start, end] = [r.u64('Starting Address'), r.u64('Ending Address')]
      const type = r.guid('Disk Type')
      return `RamDisk(${hex(start)},${hex(end)},${r.u16('Instance')},${type})`
    },
  ],
])

function hardDrive(r: Parameters<NodeText>[0]): string {
  const partition = r.u32('Partition Number')
  const [start, size] = [r.u64('Partition Start'), r.u64('Partition Size')]
  const signature = r.bytesOf('Partition Signature', 16)
  r.u8('Partition Format') // says the same as the signature's type
  const type = r.u8('Signature Type')
  const range = `${hex(start)},${hex(size)}`
  if (type === SIGNATURE_GUID) return `HD(${partition},GPT,${guidText(signature)},${range})`
  if (type === SIGNATURE_MBR) return `HD(${partition},MBR,0x${toHex(signature.slice(0, 4).reverse())},${range})`
  return `HD(${partition},${type},${toHex(signature)},${range})`
}

const BBS_TYPES: ReadonlyMap<number, string> = new Map([
  [1, 'Floppy'],
  [2, 'HD'],
  [3, 'CDROM'],
  [4, 'PCMCIA'],
  [5, 'USB'],
  [6, 'Network'],
])

/** Type 5, devices of the BIOS Boot Specification. UEFI 2.10 §10.3.6 and §10.6. */
export const BBS_NODES: ReadonlyMap<number, NodeText> = new Map<number, NodeText>([
  [
    1,
    (r) => {
      const type = r.u16('Device Type')
      const status = r.u16('Status Flag')
      return `BBS(${BBS_TYPES.get(type) ?? hex(type)},${withoutNuls(asciiText(r.rest()))},${hex(status)})`
    },
  ],
])
