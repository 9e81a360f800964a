import { CodedError } from '../../base/index.ts'
import { digest, type HashAlgorithm } from '../../crypto/index.ts'
import { asciiText, withoutNuls } from './text.ts'

/**
 * PE_NOT_AN_IMAGE: the bytes are no PE32 or PE32+ image.
 * PE_BAD_FIELD: a header field points outside the file, or says what no loader accepts.
 */
export type PeImageErrorCode = 'PE_NOT_AN_IMAGE' | 'PE_BAD_FIELD'
export class PeImageError extends CodedError<PeImageErrorCode> {}

/** A section as the file has it. */
export interface PeSection {
  readonly name: string
  /** What it has in memory: `data`, cut or followed by zeros. */
  readonly virtualSize: number
  /** SizeOfRawData bytes, a view of the file. */
  readonly data: Uint8Array
}

interface PeLayout {
  /** Offset of CheckSum in the optional header. */
  readonly checksumAt: number
  /** Offset of the certificate table's entry among the data directories; absent where the image has not that many. */
  readonly certificateEntryAt?: number
  readonly certificateSize: number
  readonly headersSize: number
  readonly sections: readonly (PeSection & { readonly offset: number })[]
}

const OFFSET_OF_PE = 0x3c
const COFF_BYTES = 20
const SECTION_BYTES = 40
const MAGIC_PE32 = 0x10b
const MAGIC_PE32_PLUS = 0x20b
const CERTIFICATE_ENTRY = 4

/**
 * The digest that firmware extends for an image: of the file without checksum, certificate table entry and certificate
 * table, sections in the order of their data. Source: "Windows Authenticode Portable Executable Signature Format" v1.0,
 * as UEFI 2.10 §32.2.4 and PC Client Platform Firmware Profile r1.06 §10.2 ask for. The file is not padded: firmware
 * does not either.
 *
 * @throws PeImageError
 */
export function authenticodeDigest(file: Uint8Array, alg: HashAlgorithm): Uint8Array {
  const { checksumAt, certificateEntryAt, certificateSize, headersSize, sections } = readLayout(file)
  const parts: Uint8Array[] = [file.subarray(0, checksumAt)]
  if (certificateEntryAt === undefined) parts.push(file.subarray(checksumAt + 4, headersSize))
  else parts.push(file.subarray(checksumAt + 4, certificateEntryAt), file.subarray(certificateEntryAt + 8, headersSize))
  let hashed = headersSize
  let behind = headersSize
  for (const { name, offset, data } of [...sections].sort((a, b) => a.offset - b.offset)) {
    if (data.length === 0) continue
    if (offset < behind) throw badPeField(`section ${name} overlaps the one before it`)
    parts.push(data)
    hashed += data.length
    behind = offset + data.length
  }
  const end = file.length - certificateSize
  if (behind > end) throw badPeField('the sections overlap the certificate table')
  parts.push(file.subarray(hashed, end))
  return digest(alg, ...parts)
}

/** Sections in the order of the header. @throws PeImageError */
export function peSections(file: Uint8Array): PeSection[] {
  return readLayout(file).sections.map(({ name, virtualSize, data }) => ({ name, virtualSize, data }))
}

function readLayout(file: Uint8Array): PeLayout {
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  const need = (at: number, size: number, what: string) => {
    if (at + size > file.length) throw badPeField(`${what} at ${at} wants ${size} bytes, the file has ${file.length}`)
  }
  if (file.length < OFFSET_OF_PE + 4 || asciiText(file, 0, 2) !== 'MZ') throw notAnImage('no MZ at its start')
  const pe = view.getUint32(OFFSET_OF_PE, true)
  need(pe, 4 + COFF_BYTES + 2, 'the PE header')
  if (asciiText(file, pe, pe + 4) !== 'PE\0\0') throw notAnImage('no PE signature')
  const optional = pe + 4 + COFF_BYTES
  const optionalSize = view.getUint16(pe + 4 + 16, true)
  const magic = view.getUint16(optional, true)
  if (magic !== MAGIC_PE32 && magic !== MAGIC_PE32_PLUS) throw notAnImage(`optional header of type ${magic}`)
  const directoriesAt = optional + (magic === MAGIC_PE32 ? 96 : 112)
  need(optional, directoriesAt - optional, 'the optional header')
  const headersSize = view.getUint32(optional + 60, true)
  const sectionsAt = optional + optionalSize
  const sectionCount = view.getUint16(pe + 4 + 2, true)
  need(sectionsAt, sectionCount * SECTION_BYTES, 'the section table')
  if (headersSize > file.length || headersSize < sectionsAt + sectionCount * SECTION_BYTES) {
    throw badPeField(`SizeOfHeaders is ${headersSize}`)
  }
  const sections = Array.from({ length: sectionCount }, (_, i) => {
    return readSection(file, view, sectionsAt + i * SECTION_BYTES, headersSize)
  })
  const layout = { checksumAt: optional + 64, headersSize, sections }
  const directoryCount = view.getUint32(directoriesAt - 4, true)
  if (directoryCount <= CERTIFICATE_ENTRY) return { ...layout, certificateSize: 0 }
  const certificateEntryAt = directoriesAt + 8 * CERTIFICATE_ENTRY
  if (certificateEntryAt + 8 > sectionsAt)
    throw badPeField(`${directoryCount} data directories do not fit the optional header`)
  const certificateSize = view.getUint32(certificateEntryAt + 4, true)
  const certificateAt = view.getUint32(certificateEntryAt, true)
  // Bytes behind the table would be neither hashed nor signed.
  if (certificateSize > 0 && certificateAt + certificateSize !== file.length) {
    throw badPeField(`the certificate table at ${certificateAt} is not the file's end`)
  }
  return { ...layout, certificateEntryAt, certificateSize }
}

function readSection(file: Uint8Array, view: DataView, at: number, headersSize: number): PeLayout['sections'][number] {
  const name = withoutNuls(asciiText(file, at, at + 8))
  const virtualSize = view.getUint32(at + 8, true)
  const size = view.getUint32(at + 16, true)
  const offset = view.getUint32(at + 20, true)
  if (size === 0) return { name, virtualSize, offset: 0, data: new Uint8Array(0) }
  if (offset < headersSize || offset + size > file.length)
    throw badPeField(`section ${name} has its ${size} bytes at ${offset}`)
  return { name, virtualSize, offset, data: file.subarray(offset, offset + size) }
}

function notAnImage(why: string): PeImageError {
  return new PeImageError('PE_NOT_AN_IMAGE', `this is no PE image: ${why}`)
}

/** Refusal of a header field. */
export function badPeField(why: string): PeImageError {
  return new PeImageError('PE_BAD_FIELD', `PE image: ${why}`)
}
