import { ImageError } from './errors.ts'
import { LIMITS } from './limits.ts'
import { type PaxFields, parsePax, sparse } from './pax.ts'
import { malformed, tarNumber } from './tar-numbers.ts'

/** What an entry makes. `contiguous` files of old systems are files. */
export type TarEntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo'

/**
 * One entry as the archive states it. Names hold one character for each byte (latin1), so that no byte is ever lost.
 */
export interface TarEntry {
  /** As written: may be absolute, climb, or end in a slash. */
  readonly path: string
  readonly type: TarEntryType
  /** Permission and set-id bits. */
  readonly mode: number
  /** As stated, so perhaps negative or beyond 32 bits. */
  readonly uid: number
  readonly gid: number
  /** Bytes of data that follow; 0 for all but files. */
  readonly size: number
  readonly mtime: { readonly seconds: number; readonly nanoseconds: number }
  readonly linkPath: string
  readonly deviceMajor: number
  readonly deviceMinor: number
  readonly xattrs: ReadonlyMap<string, Buffer>
}

/** What the reader tells, in the order of the archive. */
export interface TarHandler {
  entry(entry: TarEntry): void
  /** A piece of the data of the entry before: a view of what was pushed. Not called for an entry without data. */
  data(bytes: Buffer): void
}

const BLOCK = 512
const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map()
const TYPES: Readonly<Record<string, TarEntryType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
}

/**
 * A tar reader that is fed pieces of any size: ustar, PAX, GNU long names and links, base-256 numbers, V7. It believes
 * nothing it reads: sizes are compared with limits before anything is allocated, and whatever is not understood is
 * refused.
 * Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Interchange Format"; GNU tar 1.34 manual, "Basic Tar
 * Format".
 */
export class TarReader {
  readonly #handler: TarHandler
  readonly #header = Buffer.alloc(BLOCK)
  #headerFilled = 0
  /** What the bytes after the header are: of a file, of an extended header, or padding. */
  #state: 'header' | 'data' | 'extended' | 'padding' | 'end' = 'header'
  #left = 0
  #padding = 0
  #zeroBlocks = 0
  #extended: { readonly type: string; readonly data: Buffer; filled: number } | undefined
  #pax: PaxFields | undefined
  #longName: string | undefined
  #longLink: string | undefined

  constructor(handler: TarHandler) {
    this.#handler = handler
  }

  /** @throws ImageError IMAGE_LAYER_BAD, IMAGE_UNSUPPORTED, IMAGE_TOO_LARGE, or what the handler throws */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      switch (this.#state) {
        case 'header': {
          const part = Math.min(BLOCK - this.#headerFilled, chunk.length - at)
          chunk.copy(this.#header, this.#headerFilled, at, at + part)
          this.#headerFilled += part
          at += part
          if (this.#headerFilled < BLOCK) return
          this.#headerFilled = 0
          this.#readHeader()
          break
        }
        case 'data': {
          const part = Math.min(this.#left, chunk.length - at)
          this.#left -= part
          this.#handler.data(chunk.subarray(at, at + part))
          at += part
          if (this.#left === 0) this.#state = 'padding'
          break
        }
        case 'extended': {
          const extended = this.#extended
          if (extended === undefined) throw new TypeError('an extended header is being read')
          const part = Math.min(this.#left, chunk.length - at)
          chunk.copy(extended.data, extended.filled, at, at + part)
          extended.filled += part
          this.#left -= part
          at += part
          if (this.#left === 0) {
            this.#readExtended(extended.type, extended.data)
            this.#extended = undefined
            this.#state = 'padding'
          }
          break
        }
        case 'padding': {
          const part = Math.min(this.#padding, chunk.length - at)
          this.#padding -= part
          at += part
          if (this.#padding === 0) this.#state = 'header'
          break
        }
        case 'end':
          return // what follows the end of the archive counts for the digest of the layer only
        default:
          this.#state satisfies never
      }
    }
  }

  /** To be called when the stream is over: an archive may end without its end mark, but not inside of anything. */
  end(): void {
    if (this.#state === 'end') return
    const between = this.#state === 'header' || (this.#state === 'padding' && this.#padding === 0)
    if (!between || this.#headerFilled > 0) throw malformed('it is cut off')
    this.#refuseDangling()
  }

  #readHeader(): void {
    const h = this.#header
    if (isZero(h)) {
      this.#refuseDangling()
      if (++this.#zeroBlocks === 2) this.#state = 'end'
      return
    }
    // Some readers would stop at the single block of zeros and some would go on: two contents for one digest.
    if (this.#zeroBlocks > 0) throw malformed('a single block of zeros between entries')
    verifyChecksum(h)
    const type = String.fromCharCode(h[156] ?? 0)
    const size = this.#pax?.size ?? tarNumber(h, 124, 12, 'size')
    if (size < 0) throw malformed('negative size')
    if ('xgLK'.includes(type)) {
      this.#startExtended(type, tarNumber(h, 124, 12, 'size'))
      return
    }
    if (type === 'S') throw sparse()
    const kind = TYPES[type]
    if (kind === undefined) throw malformed(`entry of unknown type ${JSON.stringify(type)}`)
    const entry = this.#entry(kind, size)
    this.#pax = undefined
    this.#longName = undefined
    this.#longLink = undefined
    this.#startData(entry.size)
    this.#handler.entry(entry)
  }

  #entry(kind: TarEntryType, size: number): TarEntry {
    const h = this.#header
    const pax = this.#pax
    const path = pax?.path ?? this.#longName ?? headerName(h)
    // Before there was a type for them, directories were files with a slash at the end.
    const type = kind === 'file' && path.endsWith('/') ? 'directory' : kind
    // Readers differ on whether such bytes exist, so the entries after them would be another archive to each.
    if (type !== 'file' && size !== 0) throw malformed(`a ${type} with ${size} bytes of data`)
    const device = type === 'char' || type === 'block'
    return {
      path,
      type,
      mode: tarNumber(h, 100, 8, 'mode') & 0o7777,
      uid: pax?.uid ?? tarNumber(h, 108, 8, 'uid'),
      gid: pax?.gid ?? tarNumber(h, 116, 8, 'gid'),
      size,
      mtime: pax?.mtime ?? { seconds: tarNumber(h, 136, 12, 'mtime'), nanoseconds: 0 },
      linkPath: pax?.linkPath ?? this.#longLink ?? cString(h, 157, 100),
      deviceMajor: device ? tarNumber(h, 329, 8, 'device major') : 0,
      deviceMinor: device ? tarNumber(h, 337, 8, 'device minor') : 0,
      xattrs: pax?.xattrs ?? NO_XATTRS,
    }
  }

  #startData(size: number): void {
    this.#left = size
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK
    this.#state = size > 0 ? 'data' : 'header'
  }

  #startExtended(type: string, size: number): void {
    if (this.#pax !== undefined) throw malformed('an extended header for an extended header')
    if (size === 0 || size > LIMITS.extendedHeaderBytes) {
      const code = size === 0 ? 'IMAGE_LAYER_BAD' : 'IMAGE_TOO_LARGE'
      throw new ImageError(code, `extended header of ${size} bytes; 1 to ${LIMITS.extendedHeaderBytes} are allowed`)
    }
    this.#startData(size)
    this.#state = 'extended'
    this.#extended = { type, data: Buffer.alloc(size), filled: 0 }
  }

  #readExtended(type: string, data: Buffer): void {
    if (type === 'g') parsePax(data, true)
    else if (type === 'x') this.#pax = parsePax(data, false)
    else {
      const text = data.toString('latin1', 0, data.length).replace(/\0+$/, '')
      if (text === '' || text.includes('\0')) throw malformed('a GNU long name that is empty or contains NUL')
      if ((type === 'L' ? this.#longName : this.#longLink) !== undefined)
        throw malformed('two GNU long names for one entry')
      if (type === 'L') this.#longName = text
      else this.#longLink = text
    }
  }

  #refuseDangling(): void {
    if (this.#pax !== undefined || this.#longName !== undefined || this.#longLink !== undefined) {
      throw malformed('an extended header with no entry after it')
    }
  }
}

function isZero(block: Buffer): boolean {
  for (let i = 0; i < BLOCK; i++) if (block[i] !== 0) return false
  return true
}

/** The sum of all bytes with the checksum's own as spaces; old systems summed them as signed. */
function verifyChecksum(h: Buffer): void {
  const stated = tarNumber(h, 148, 8, 'checksum')
  let unsigned = 8 * 0x20
  let signed = unsigned
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue
    const b = h[i] ?? 0
    unsigned += b
    signed += b < 128 ? b : b - 256
  }
  if (stated !== unsigned && stated !== signed) throw malformed('wrong checksum of a header')
}

/** ustar splits long names in two; GNU's and V7's headers have other things in the second place. */
function headerName(h: Buffer): string {
  const name = cString(h, 0, 100)
  const prefix = h.toString('latin1', 257, 263) === 'ustar\0' ? cString(h, 345, 155) : ''
  return prefix === '' ? name : `${prefix}/${name}`
}

function cString(h: Buffer, at: number, length: number): string {
  const nul = h.indexOf(0, at)
  return h.toString('latin1', at, nul < 0 || nul > at + length ? at + length : nul)
}
