import { toHex } from '../../base/index.ts'
import type { DataReader } from './data-reader.ts'

/** Writes a node's text from its data; one that leaves data unread, or wants more, is shown as hex instead. */
export type NodeText = (r: DataReader) => string

/** Hexadecimal as device path text has it: 0x, uppercase digits, none in front that are zero. */
export function hex(value: number | bigint): string {
  return `0x${value.toString(16).toUpperCase()}`
}

/** A vendor-defined node: `name(guid)` or `name(guid,data)`. */
export function vendorNode(name: string): NodeText {
  return (r) => {
    const guid = r.guid('Vendor_GUID')
    const data = r.rest()
    return `${name}(${guid}${data.length > 0 ? `,${toHex(data)}` : ''})`
  }
}
