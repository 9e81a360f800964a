import { DataReader } from './data-reader.ts'
import { decodeDevicePath } from './device-path.ts'
import type { FirmwareBlobData, HandoffTablesData, ImageLoadData } from './event-data.ts'
import { asciiText, withoutNuls } from './text.ts'

/**
 * shim took the size of the structure, one byte of path and its alignment with it, for that of its head, and so logs up
 * to nine bytes of no meaning.
 */
const MAX_SHIM_BYTES = 16

/**
 * UEFI_IMAGE_LOAD_EVENT, little-endian: address u64, length, link-time address, length of the path, device path.
 * Source: PC Client Platform Firmware Profile r1.06 §10.2.
 *
 * @param bits width of the three integers: u64 since r1.05, UINTN before
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function decodeImageLoad(bytes: Uint8Array, bits: 32 | 64 = 64): ImageLoadData {
  const r = new DataReader(bytes, 'UEFI_IMAGE_LOAD_EVENT')
  const base = r.u64('ImageLocationInMemory')
  const length = r.uintn('ImageLengthInMemory', bits)
  const linkTimeAddress = r.uintn('ImageLinkTimeAddress', bits)
  const path = r.bytesOfLength('DevicePath', r.uintn('LengthOfDevicePath', bits))
  if (r.remaining > MAX_SHIM_BYTES) r.end()
  return { kind: 'image-load', base, length, linkTimeAddress, path: decodeDevicePath(path) }
}

/** UEFI_PLATFORM_FIRMWARE_BLOB: base u64, length. r1.06 §10.2. @throws EventLogError EVENT_LOG_BAD_CONTENT */
export function decodeFirmwareBlob(bytes: Uint8Array, bits: 32 | 64 = 64): FirmwareBlobData {
  const r = new DataReader(bytes, 'UEFI_PLATFORM_FIRMWARE_BLOB')
  const base = r.u64('BlobBase')
  const length = r.uintn('BlobLength', bits)
  r.end()
  return { kind: 'firmware-blob', base, length }
}

/**
 * UEFI_PLATFORM_FIRMWARE_BLOB2: size of the description u8, description, base u64, length u64.
 *
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function decodeFirmwareBlob2(bytes: Uint8Array): FirmwareBlobData {
  const r = new DataReader(bytes, 'UEFI_PLATFORM_FIRMWARE_BLOB2')
  const description = readDescription(r)
  const blob = { base: r.u64('BlobBase'), length: r.u64('BlobLength') }
  r.end()
  return { kind: 'firmware-blob', description, ...blob }
}

/**
 * UEFI_HANDOFF_TABLE_POINTERS: count, then as many (GUID, address). r1.06 §10.2.
 *
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function decodeHandoffTables(bytes: Uint8Array, bits: 32 | 64 = 64): HandoffTablesData {
  const r = new DataReader(bytes, 'UEFI_HANDOFF_TABLE_POINTERS')
  return { kind: 'handoff-tables', tables: readTables(r, r.uintn('NumberOfTables', bits), bits) }
}

/** UEFI_HANDOFF_TABLE_POINTERS2: a description in front. @throws EventLogError EVENT_LOG_BAD_CONTENT */
export function decodeHandoffTables2(bytes: Uint8Array): HandoffTablesData {
  const r = new DataReader(bytes, 'UEFI_HANDOFF_TABLE_POINTERS2')
  const description = readDescription(r)
  return { kind: 'handoff-tables', description, tables: readTables(r, r.u64('NumberOfTables'), 64) }
}

function readDescription(r: DataReader): string {
  return withoutNuls(asciiText(r.bytesOf('Description', r.u8('DescriptionSize'))))
}

function readTables(r: DataReader, count: bigint, bits: 32 | 64): HandoffTablesData['tables'] {
  const size = bits === 64 ? 24n : 20n
  if (count * size !== BigInt(r.remaining)) {
    throw r.error('NumberOfTables', `${count} tables do not fill ${r.remaining} bytes`)
  }
  const tables: { guid: string; address: bigint }[] = []
  while (r.remaining > 0) tables.push({ guid: r.guid('VendorGuid'), address: r.uintn('VendorTable', bits) })
  return tables
}
