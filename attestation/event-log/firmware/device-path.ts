import { toHex } from '../../base/index.ts'
import { EventLogError } from '../errors.ts'
import { DataReader } from './data-reader.ts'
import { ACPI_NODES, HARDWARE_NODES } from './device-path-hardware.ts'
import { BBS_NODES, MEDIA_NODES } from './device-path-media.ts'
import { MESSAGING_NODES } from './device-path-messaging.ts'
import type { NodeText } from './device-path-node.ts'
import { utf16Text, withoutNuls } from './text.ts'

/** EFI_DEVICE_PATH_PROTOCOL: where a device or a file is. UEFI 2.10 §10. */
export interface DevicePath {
  /**
   * e.g. `HD(1,GPT,3cb9643c-6c08-4fe5-852d-17e1ae701158,0x800,0x100000)/\EFI\systemd\systemd-bootx64.efi`; instances
   * with `,` between.
   */
  readonly text: string
  /** Of all instances, without the end nodes. */
  readonly nodes: readonly DevicePathNode[]
  /**
   * Concatenated file path nodes of the first instance, e.g. `\EFI\systemd\systemd-bootx64.efi`; absent where there is
   * none.
   */
  readonly file?: string
}

export interface DevicePathNode {
  readonly type: number
  readonly subType: number
  /** Without type, subtype and length. */
  readonly data: Uint8Array
  readonly text: string
}

/** A path of a file deep in a tree of USB hubs has some twenty. */
const MAX_NODES = 256
const NODE_HEAD_BYTES = 4
const TYPE_END = 0x7f
const END_INSTANCE = 0x01
const END_ENTIRE = 0xff
const TYPE_MEDIA = 4
const MEDIA_FILE_PATH = 4

const TEXTS: ReadonlyMap<number, ReadonlyMap<number, NodeText>> = new Map([
  [1, HARDWARE_NODES],
  [2, ACPI_NODES],
  [3, MESSAGING_NODES],
  [TYPE_MEDIA, MEDIA_NODES],
  [5, BBS_NODES],
])

/**
 * Device path nodes, little-endian: type u8, subtype u8, length u16 with these four bytes, data. Some firmware leaves
 * out the last end node. A boot option may have further paths behind the first; like further instances they stand
 * behind a comma.
 *
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function decodeDevicePath(bytes: Uint8Array): DevicePath {
  const r = new DataReader(bytes, 'EFI_DEVICE_PATH')
  const instances: DevicePathNode[][] = [[]]
  let count = 0
  while (r.remaining > 0) {
    if (++count > MAX_NODES) throw r.error('nodes', `more than ${MAX_NODES}`)
    const type = r.u8('Type')
    const subType = r.u8('SubType')
    const length = r.u16('Length')
    if (length < NODE_HEAD_BYTES) throw r.error('Length', `${length} is less than the node's header`)
    const data = r.bytesOf('data', length - NODE_HEAD_BYTES)
    if (type !== TYPE_END) instances.at(-1)?.push({ type, subType, data, text: nodeText(type, subType, data) })
    else if (subType === END_INSTANCE || (subType === END_ENTIRE && r.remaining > 0)) instances.push([])
    else if (subType !== END_ENTIRE) throw r.error('SubType', `${subType} is no end of a path`)
  }
  const text = instances.map((nodes) => nodes.map((n) => n.text).join('/')).join(',')
  const file = fileOf(instances[0] ?? [])
  return { text, nodes: instances.flat(), ...(file !== undefined && { file }) }
}

function nodeText(type: number, subType: number, data: Uint8Array): string {
  const write = TEXTS.get(type)?.get(subType)
  if (write !== undefined) {
    try {
      const r = new DataReader(data, 'node')
      const text = write(r)
      if (r.remaining === 0) return text
    } catch (err) {
      if (!(err instanceof EventLogError)) throw err
    }
  }
  // UEFI 2.10 §10.6 has this form for nodes that have none of their own.
  return `Path(${type},${subType}${data.length > 0 ? `,${toHex(data)}` : ''})`
}

/** UEFI 2.10 §10.3.5.4: file path nodes follow one another and are put together with one backslash between. */
function fileOf(nodes: readonly DevicePathNode[]): string | undefined {
  let file: string | undefined
  for (const node of nodes) {
    if (node.type !== TYPE_MEDIA || node.subType !== MEDIA_FILE_PATH) continue
    const part = withoutNuls(utf16Text(node.data))
    file = file === undefined ? part : `${file.replace(/\\$/, '')}\\${part.replace(/^\\/, '')}`
  }
  return file
}
