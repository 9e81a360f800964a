import { concatBytes, utf8 } from '../../attestation/base/index.ts'
import { u16, u32 } from './firmware-log.ts'

export interface PeParts {
  readonly plus?: boolean
  readonly sections: readonly { readonly name: string; readonly data: Uint8Array; readonly virtualSize?: number }[]
  /** Behind the sections, hashed. */
  readonly trailing?: Uint8Array
  /** Behind everything, not hashed. */
  readonly certificates?: Uint8Array
  readonly checksum?: number
  readonly directories?: number
}

const PE_AT = 0x40
const ALIGNMENT = 0x200

/** A PE image of just the headers that loaders read, with its sections one behind the other. */
export function peImage(parts: PeParts): Uint8Array {
  const { plus = true, sections, trailing = new Uint8Array(0), certificates = new Uint8Array(0), checksum = 0 } = parts
  const directories = parts.directories ?? 16
  const optionalBytes = (plus ? 112 : 96) + 8 * directories
  const headersSize = aligned(PE_AT + 24 + optionalBytes + 40 * sections.length)
  let at = headersSize
  const table: Uint8Array[] = []
  for (const { name, data, virtualSize = data.length } of sections) {
    table.push(
      concatBytes(
        padded(utf8(name), 8),
        u32(virtualSize),
        u32(0x1000),
        u32(data.length),
        u32(data.length > 0 ? at : 0),
        new Uint8Array(16),
      ),
    )
    at += data.length
  }
  at += trailing.length
  const optional = new Uint8Array(optionalBytes)
  optional.set(u16(plus ? 0x20b : 0x10b))
  optional.set(u32(headersSize), 60)
  optional.set(u32(checksum), 64)
  optional.set(u32(directories), plus ? 108 : 92)
  if (certificates.length > 0) optional.set(concatBytes(u32(at), u32(certificates.length)), (plus ? 112 : 96) + 32)
  const coff = concatBytes(u16(0x8664), u16(sections.length), new Uint8Array(12), u16(optionalBytes), u16(0))
  const dos = new Uint8Array(PE_AT)
  dos.set(utf8('MZ'))
  dos.set(u32(PE_AT), 0x3c)
  const headers = padded(concatBytes(dos, utf8('PE\0\0'), coff, optional, ...table), headersSize)
  return concatBytes(headers, ...sections.map((s) => s.data), trailing, certificates)
}

function aligned(size: number): number {
  return Math.ceil(size / ALIGNMENT) * ALIGNMENT
}

function padded(bytes: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size)
  out.set(bytes)
  return out
}
