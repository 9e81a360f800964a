import { toHex } from '../../base/index.ts'
import type { DataReader } from './data-reader.ts'
import { hex, type NodeText, vendorNode } from './device-path-node.ts'
import { asciiText, utf16Text, withoutNuls } from './text.ts'

/** Interface types whose address has six bytes of the node's 32: Ethernet and IEEE 802. */
const IF_TYPES_OF_SIX_BYTES = [0, 1]
const PARITIES = 'DNEOMS'
const STOP_BITS = ['D', '1', '1.5', '2']
const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [6, 'TCP'],
  [17, 'UDP'],
])

/** Type 3. UEFI 2.10 §10.3.4 and §10.6. */
export const MESSAGING_NODES: ReadonlyMap<number, NodeText> = new Map<number, NodeText>([
  [
    1,
    (r) => {
      const controller = r.u8('PrimarySecondary') === 0 ? 'Primary' : 'Secondary'
      const drive = r.u8('SlaveMaster') === 0 ? 'Master' : 'Slave'
      return `Ata(${controller},${drive},${hex(r.u16('LUN'))})`
    },
  ],
  [2, (r) => `Scsi(${hex(r.u16('Target ID'))},${hex(r.u16('LUN'))})`],
  [
    3,
    (r) => {
      r.u32('Reserved')
      return `Fibre(${hex(r.u64('World Wide Name'))},${hex(r.u64('LUN'))})`
    },
  ],
  [
    4,
    (r) => {
      r.u32('Reserved')
      return `I1394(${r.u64('GUID').toString(16).padStart(16, '0')})`
    },
  ],
  [5, (r) => `USB(${hex(r.u8('Parent Port Number'))},${hex(r.u8('Interface'))})`],
  [6, (r) => `I2O(${hex(r.u32('TID'))})`],
  [
    9,
    (r) => {
      const flags = r.u32('Resource Flags')
      const port = r.guid('PORT GID')
      const [service, target, device] = [r.u64('Service ID'), r.u64('Target Port ID'), r.u64('Device ID')]
      return `Infiniband(${hex(flags)},${port},${hex(service)},${hex(target)},${hex(device)})`
    },
  ],
  [10, vendorNode('VenMsg')],
  [11, macAddress],
  [12, ipv4],
  [13, ipv6],
  [14, uart],
  [
    15,
    (r) => {
      const ids = [r.u16('Vendor ID'), r.u16('Product ID'), r.u8('Class'), r.u8('Subclass'), r.u8('Protocol')]
      return `UsbClass(${ids.map(hex).join(',')})`
    },
  ],
  [
    16,
    (r) => {
      const [number, vendor, product] = [r.u16('Interface Number'), r.u16('Vendor ID'), r.u16('Product ID')]
      const serial = withoutNuls(utf16Text(r.rest()))
      return `UsbWwid(${hex(vendor)},${hex(product)},${hex(number)},"${serial}")`
    },
  ],
  [17, (r) => `Unit(${hex(r.u8('LUN'))})`],
  [18, (r) => `Sata(${hex(r.u16('HBA Port'))},${hex(r.u16('Multiplier Port'))},${hex(r.u16('LUN'))})`],
  [19, iscsi],
  [20, (r) => `Vlan(${r.u16('Vlan Id')})`],
  [
    21,
    (r) => {
      r.u32('Reserved')
      return `FibreEx(0x${toHex(r.bytesOf('World Wide Name', 8))},0x${toHex(r.bytesOf('LUN', 8))})`
    },
  ],
  [
    22,
    (r) => {
      const [address, lun] = [toHex(r.bytesOf('SAS Address', 8)), toHex(r.bytesOf('LUN', 8))]
      const info = r.u16('Device and Topology Info')
      return `SasEx(0x${address},0x${lun},${hex(r.u16('Relative Target Port'))},${hex(info)})`
    },
  ],
  [
    23,
    (r) => {
      const namespace = r.u32('Namespace Identifier')
      const eui = r.bytesOf('IEEE Extended Unique Identifier', 8).slice().reverse()
      const bytes = [...eui].map((b) => b.toString(16).toUpperCase().padStart(2, '0'))
      return `NVMe(${hex(namespace)},${bytes.join('-')})`
    },
  ],
  [24, (r) => `Uri(${asciiText(r.rest())})`],
  [25, (r) => `UFS(${hex(r.u8('Target ID'))},${hex(r.u8('LUN'))})`],
  [26, (r) => `SD(${hex(r.u8('Slot Number'))})`],
  [27, (r) => `Bluetooth(${toHex(r.bytesOf('Device Address', 6))})`],
  [28, (r) => `Wi-Fi(${withoutNuls(asciiText(r.bytesOf('SSID', 32)))})`],
  [29, (r) => `eMMC(${hex(r.u8('Slot Number'))})`],
  [30, (r) => `BluetoothLE(${toHex(r.bytesOf('Device Address', 6))},${hex(r.u8('Address Type'))})`],
  [31, dns],
  [32, (r) => `NVDIMM(${r.guid('UUID')})`],
])

function macAddress(r: DataReader): string {
  const address = r.bytesOf('MAC Address', 32)
  const ifType = r.u8('IfType')
  const used = IF_TYPES_OF_SIX_BYTES.includes(ifType) ? 6 : 32
  return `MAC(${toHex(address.subarray(0, used))},${hex(ifType)})`
}

function dotted(r: DataReader, field: string): string {
  return [...r.bytesOf(field, 4)].join('.')
}

/** Eight groups, as they are: shortened text would need no fewer tests and tell no more. */
function colons(r: DataReader, field: string): string {
  return (toHex(r.bytesOf(field, 16)).match(/.{4}/g) ?? []).join(':')
}

/** Firmware before UEFI 2.3.1 leaves out gateway and mask. */
function ipv4(r: DataReader): string {
  const [local, remote] = [dotted(r, 'Local IP Address'), dotted(r, 'Remote IP Address')]
  r.bytesOf('Ports', 4)
  const protocol = r.u16('Protocol')
  const origin = r.u8('StaticIPAddress') === 0 ? 'DHCP' : 'Static'
  const rest = r.remaining > 0 ? `,${dotted(r, 'Gateway')},${dotted(r, 'Subnet Mask')}` : ''
  return `IPv4(${remote},${PROTOCOLS.get(protocol) ?? hex(protocol)},${origin},${local}${rest})`
}

function ipv6(r: DataReader): string {
  const [local, remote] = [colons(r, 'Local IP Address'), colons(r, 'Remote IP Address')]
  r.bytesOf('Ports', 4)
  const protocol = r.u16('Protocol')
  const origin = ['Static', 'StatelessAutoConfigure', 'StatefulAutoConfigure'][r.u8('IPAddressOrigin')] ?? 'unknown'
  const rest = r.remaining > 0 ? `,${r.u8('Prefix Length')},${colons(r, 'Gateway')}` : ''
  return `IPv6(${remote},${PROTOCOLS.get(protocol) ?? hex(protocol)},${origin},${local}${rest})`
}

function uart(r: DataReader): string {
  r.u32('Reserved')
  const baud = r.u64('Baud Rate')
  const bits = r.u8('Data Bits')
  const parity = PARITIES[r.u8('Parity')] ?? 'x'
  return `Uart(${baud === 0n ? 'DEFAULT' : baud},${bits === 0 ? 'DEFAULT' : bits},${parity},${STOP_BITS[r.u8('Stop Bits')] ?? 'x'})`
}

function iscsi(r: DataReader): string {
  const protocol = r.u16('Protocol') === 0 ? 'TCP' : 'reserved'
  const options = r.u16('Options')
  const lun = toHex(r.bytesOf('LUN', 8))
  const group = r.u16('Target Portal Group')
  return `iSCSI(${withoutNuls(asciiText(r.rest()))},${hex(group)},0x${lun},${hex(options)},${protocol})`
}

function dns(r: DataReader): string {
  const address = r.u8('IsIPv6') === 0 ? dotted : colons
  const used = address === dotted ? 4 : 16
  const servers: string[] = []
  while (r.remaining > 0) {
    servers.push(address(r, 'DNS Server'))
    r.bytesOf('padding of EFI_IP_ADDRESS', 16 - used)
  }
  return `Dns(${servers.join(',')})`
}
