import { inflateRawSync } from 'node:zlib'
import { CodedError, messageOf } from '../../base/index.ts'

/**
 * Why a cabinet was not read.
 *
 * - `CABINET_MALFORMED`: bytes that are no whole cabinet, or a block that does not unpack to what it says.
 * - `CABINET_TOO_LARGE`: more than any set of certificates has; nothing was unpacked past the limit.
 * - `CABINET_UNSUPPORTED`: part of a set of cabinets, or a compression that is not read here (LZX, Quantum).
 */
export type CabinetErrorCode = 'CABINET_MALFORMED' | 'CABINET_TOO_LARGE' | 'CABINET_UNSUPPORTED'
export class CabinetError extends CodedError<CabinetErrorCode> {}

/** Microsoft's TrustedTpm.cab has under 1 MB packed and a few MB unpacked. */
export const MAX_CABINET_BYTES = 64 << 20
const MAX_UNPACKED_BYTES = 64 << 20
const MAX_CABINET_FILES = 20_000
const MAX_FOLDERS = 1024
/** Of all folders: blocks of two folders may be the same bytes, so the size of the file alone bounds nothing. */
const MAX_BLOCKS = 65_536
const MAX_NAME_BYTES = 256
/** Most bytes that one block unpacks to, and the history that the next one may refer to. */
const BLOCK_BYTES = 32_768

export type CabinetCompression = 'none' | 'mszip' | 'quantum' | 'lzx'

/** One folder: a run of compressed blocks that several files share. */
export interface CabinetFolder {
  readonly compression: CabinetCompression
  readonly blocks: readonly { readonly packed: Uint8Array; readonly sizeBytes: number }[]
}

/** One file, as named in the cabinet: a claim, never used as a path. */
export interface CabinetFile {
  /** Components in order, or undefined for a name that leads somewhere else (absolute, with `..` or control characters). */
  readonly path: readonly string[] | undefined
  /** As written, for messages. */
  readonly name: string
  readonly folder: number
  readonly offset: number
  readonly sizeBytes: number
}

export interface Cabinet {
  readonly files: readonly CabinetFile[]
  readonly folders: readonly CabinetFolder[]
}

export const isCabinet = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x4d && bytes[1] === 0x53 && bytes[2] === 0x43 && bytes[3] === 0x46 // MSCF

/**
 * Reads the directory of a cabinet; nothing is unpacked yet. A signature of its maker (Authenticode) is not looked at.
 * Source: [MS-CAB] Cabinet File Format, §2.
 *
 * @throws CabinetError
 */
export function decodeCabinet(bytes: Uint8Array): Cabinet {
  if (!isCabinet(bytes)) throw new CabinetError('CABINET_MALFORMED', 'does not start with MSCF, as a cabinet does')
  if (bytes.length > MAX_CABINET_BYTES) {
    throw new CabinetError(
      'CABINET_TOO_LARGE',
      `cabinet of ${bytes.length} bytes, at most ${MAX_CABINET_BYTES} are read`,
    )
  }
  const r = new CabinetReader(bytes, 16)
  const filesAt = r.u32('coffFiles')
  r.skip(4)
  const minor = r.u8('versionMinor')
  const major = r.u8('versionMajor')
  if (major !== 1 || minor !== 3)
    throw new CabinetError('CABINET_UNSUPPORTED', `cabinet version ${major}.${minor}, wanted 1.3`)
  const folderCount = r.u16('cFolders')
  const fileCount = r.u16('cFiles')
  const flags = r.u16('flags')
  r.skip(4)
  if ((flags & (FLAG_PREVIOUS | FLAG_NEXT)) !== 0) {
    throw new CabinetError('CABINET_UNSUPPORTED', 'cabinet is one of a set that belongs together')
  }
  if (folderCount > MAX_FOLDERS || fileCount > MAX_CABINET_FILES) {
    throw new CabinetError('CABINET_TOO_LARGE', `cabinet has ${folderCount} folders and ${fileCount} files`)
  }
  let [folderReserve, dataReserve] = [0, 0]
  if ((flags & FLAG_RESERVE) !== 0) {
    const headerReserve = r.u16('cbCFHeader')
    folderReserve = r.u8('cbCFFolder')
    dataReserve = r.u8('cbCFData')
    r.skip(headerReserve)
  }
  const budget = { unpacked: MAX_UNPACKED_BYTES, packed: MAX_CABINET_BYTES, blocks: MAX_BLOCKS }
  const folders: CabinetFolder[] = []
  for (let i = 0; i < folderCount; i++) folders.push(readFolder(r, bytes, folderReserve, dataReserve, budget))
  const f = new CabinetReader(bytes, filesAt)
  const files: CabinetFile[] = []
  let claimed = 0
  for (let i = 0; i < fileCount; i++) {
    const file = readFile(f, folderCount)
    claimed += file.sizeBytes
    if (claimed > MAX_UNPACKED_BYTES) throw tooMuch()
    files.push(file)
  }
  return { files, folders }
}

const tooMuch = (): CabinetError =>
  new CabinetError('CABINET_TOO_LARGE', `cabinet unpacks to more than ${MAX_UNPACKED_BYTES} bytes`)

/** What is left to spend on all folders together. */
interface Budget {
  unpacked: number
  packed: number
  blocks: number
}

const FLAG_PREVIOUS = 1
const FLAG_NEXT = 2
const FLAG_RESERVE = 4

function readFolder(
  r: CabinetReader,
  bytes: Uint8Array,
  folderReserve: number,
  dataReserve: number,
  budget: Budget,
): CabinetFolder {
  const dataAt = r.u32('coffCabStart')
  const count = r.u16('cCFData')
  const compression = COMPRESSIONS[r.u16('typeCompress') & 0x0f]
  r.skip(folderReserve)
  if (compression === undefined) throw new CabinetError('CABINET_UNSUPPORTED', 'compression of no known kind')
  const data = new CabinetReader(bytes, dataAt)
  const blocks: { packed: Uint8Array; sizeBytes: number }[] = []
  for (let i = 0; i < count; i++) {
    const checksum = data.u32('csum')
    const header = data.peek(4)
    const packedBytes = data.u16('cbData')
    const sizeBytes = data.u16('cbUncomp')
    data.skip(dataReserve)
    const packed = data.take('ab', packedBytes)
    budget.unpacked -= sizeBytes
    budget.packed -= packedBytes
    budget.blocks--
    if (Math.min(budget.unpacked, budget.packed, budget.blocks) < 0) throw tooMuch()
    if (sizeBytes > BLOCK_BYTES)
      throw new CabinetError('CABINET_MALFORMED', `block ${i} says it unpacks to ${sizeBytes} bytes`)
    if (checksum !== 0 && dataReserve === 0 && checksum !== blockChecksum(header, blockChecksum(packed, 0))) {
      throw new CabinetError(
        'CABINET_MALFORMED',
        `checksum of block ${i} is wrong: the file is damaged, fetch it again`,
      )
    }
    blocks.push({ packed, sizeBytes })
  }
  return { compression, blocks }
}

const COMPRESSIONS: readonly CabinetCompression[] = ['none', 'mszip', 'quantum', 'lzx']

/** [MS-CAB] §3.1: the exclusive or of little-endian words; what is left over counts from its first byte down. */
function blockChecksum(bytes: Uint8Array, seed: number): number {
  let sum = seed
  const whole = bytes.length & ~3
  for (let i = 0; i < whole; i += 4) {
    sum ^= (bytes[i] ?? 0) | ((bytes[i + 1] ?? 0) << 8) | ((bytes[i + 2] ?? 0) << 16) | ((bytes[i + 3] ?? 0) << 24)
  }
  let rest = 0
  for (const b of bytes.subarray(whole)) rest = (rest << 8) | b
  return (sum ^ rest) >>> 0
}

const NAME_IS_UTF8 = 0x80

function readFile(r: CabinetReader, folderCount: number): CabinetFile {
  const sizeBytes = r.u32('cbFile')
  const offset = r.u32('uoffFolderStart')
  const folder = r.u16('iFolder')
  r.skip(4)
  const attributes = r.u16('attribs')
  const raw = r.untilNul('szName', MAX_NAME_BYTES)
  if (folder >= folderCount)
    throw new CabinetError('CABINET_MALFORMED', `a file is in folder ${folder} of ${folderCount}`)
  const name = new TextDecoder((attributes & NAME_IS_UTF8) !== 0 ? 'utf-8' : 'latin1').decode(raw)
  return { name: name.replace(/\p{C}/gu, '?'), path: safePath(name), folder, offset, sizeBytes }
}

function safePath(name: string): readonly string[] | undefined {
  const parts = name.split(/[\\/]/)
  const safe = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !/[:\p{Cc}]/u.test(part))
  return safe ? parts : undefined
}

/**
 * Unpacks one folder.
 * @throws CabinetError CABINET_UNSUPPORTED for LZX and Quantum; CABINET_MALFORMED
 */
export function unpackFolder({ compression, blocks }: CabinetFolder): Uint8Array {
  if (compression !== 'none' && compression !== 'mszip') {
    throw new CabinetError('CABINET_UNSUPPORTED', `compression ${compression.toUpperCase()} is not read here`)
  }
  const out = new Uint8Array(blocks.reduce((sum, b) => sum + b.sizeBytes, 0)) // bounded by decodeCabinet
  let at = 0
  blocks.forEach(({ packed, sizeBytes }, i) => {
    const unpacked =
      compression === 'none' ? packed : inflateBlock(packed, out.subarray(Math.max(0, at - BLOCK_BYTES), at), i)
    if (unpacked.length !== sizeBytes) {
      throw new CabinetError(
        'CABINET_MALFORMED',
        `block ${i} unpacks to ${unpacked.length} bytes, it says ${sizeBytes}`,
      )
    }
    out.set(unpacked, at)
    at += sizeBytes
  })
  return out
}

/** [MS-MCI]: `CK`, then one deflate stream whose window begins with what the block before unpacked to. */
function inflateBlock(packed: Uint8Array, history: Uint8Array, i: number): Uint8Array {
  if (packed[0] !== 0x43 || packed[1] !== 0x4b)
    throw new CabinetError('CABINET_MALFORMED', `block ${i} does not start with CK`)
  const dictionary = history.length === 0 ? {} : { dictionary: history }
  try {
    return inflateRawSync(packed.subarray(2), { maxOutputLength: BLOCK_BYTES, ...dictionary })
  } catch (cause) {
    throw new CabinetError('CABINET_MALFORMED', `block ${i} does not unpack: ${messageOf(cause)}`, { cause })
  }
}

/** Little-endian reader that owns every bound. */
class CabinetReader {
  readonly #bytes: Uint8Array
  #at: number

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  take(field: string, size: number): Uint8Array {
    if (this.#at + size > this.#bytes.length) {
      throw new CabinetError('CABINET_MALFORMED', `${field} at offset ${this.#at} is cut off`)
    }
    this.#at += size
    return this.#bytes.subarray(this.#at - size, this.#at)
  }

  peek(size: number): Uint8Array {
    return this.#bytes.subarray(this.#at, this.#at + size)
  }

  skip(size: number): void {
    this.take('reserved', size)
  }

  u8(field: string): number {
    return this.take(field, 1)[0] ?? 0
  }

  u16(field: string): number {
    const [low = 0, high = 0] = this.take(field, 2)
    return low + 256 * high
  }

  u32(field: string): number {
    return this.u16(field) + 65_536 * this.u16(field)
  }

  untilNul(field: string, most: number): Uint8Array {
    const end = this.#bytes.subarray(0, this.#at + most).indexOf(0, this.#at)
    if (end < 0)
      throw new CabinetError('CABINET_MALFORMED', `${field} at offset ${this.#at} has no end within ${most} bytes`)
    const name = this.take(field, end - this.#at)
    this.skip(1)
    return name
  }
}
