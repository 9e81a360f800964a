import { toHex } from '../../base/index.ts'
import { EventLogError } from '../errors.ts'
import { utf16Text } from './text.ts'

/**
 * Reads a structure inside an event's data: integers are little-endian. It owns every bound: a length is compared with
 * what remains before it is used. Byte fields are views of the input.
 *
 * All methods throw EventLogError EVENT_LOG_BAD_CONTENT, which names structure and field.
 */
export class DataReader {
  readonly bytes: Uint8Array
  readonly #view: DataView
  readonly #structure: string
  #at = 0

  /** @param structure name of it in its specification, for messages */
  constructor(bytes: Uint8Array, structure: string) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#structure = structure
  }

  get remaining(): number {
    return this.bytes.length - this.#at
  }

  u8(field: string): number {
    return this.#view.getUint8(this.#take(field, 1))
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#take(field, 2), true)
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#take(field, 4), true)
  }

  u64(field: string): bigint {
    return this.#view.getBigUint64(this.#take(field, 8), true)
  }

  /** UINTN: as wide as a pointer of the firmware that wrote it. */
  uintn(field: string, bits: 32 | 64): bigint {
    return bits === 64 ? this.u64(field) : BigInt(this.u32(field))
  }

  /** EFI_GUID: three integers, little-endian, and eight bytes. RFC 4122 text, lowercase. */
  guid(field: string): string {
    return guidText(this.bytesOf(field, 16))
  }

  /** A view of exactly `size` bytes. */
  bytesOf(field: string, size: number): Uint8Array {
    const at = this.#take(field, size)
    return this.bytes.subarray(at, at + size)
  }

  /** As many bytes as a 64-bit length says. */
  bytesOfLength(field: string, length: bigint): Uint8Array {
    if (length > BigInt(this.remaining)) throw this.error(field, `says ${length} bytes, ${this.remaining} remain`)
    return this.bytesOf(field, Number(length))
  }

  /** UTF-16LE up to a NUL, which is read too. */
  utf16z(field: string): string {
    for (let end = this.#at; end + 1 < this.bytes.length; end += 2) {
      if (this.bytes[end] !== 0 || this.bytes[end + 1] !== 0) continue
      const text = utf16Text(this.bytes, this.#at, end)
      this.#at = end + 2
      return text
    }
    throw this.error(field, 'has no NUL at its end')
  }

  /** A view of all that is left. */
  rest(): Uint8Array {
    return this.bytesOf('the rest', this.remaining)
  }

  /** A byte left over is an error. */
  end(): void {
    if (this.remaining > 0) throw this.error('the end', `${this.remaining} bytes are left over`)
  }

  error(field: string, detail: string): EventLogError {
    return new EventLogError('EVENT_LOG_BAD_CONTENT', `${this.#structure}: ${field}: ${detail}`)
  }

  #take(field: string, size: number): number {
    const at = this.#at
    if (size > this.bytes.length - at) {
      throw this.error(field, `wants ${size} bytes, ${this.bytes.length - at} remain`)
    }
    this.#at = at + size
    return at
  }
}

/** RFC 4122 text of the 16 bytes of an EFI_GUID: three integers and two byte fields. A dbx has hundreds of them. */
export function guidText(bytes: Uint8Array): string {
  const hex = toHex(bytes)
  let out = ''
  for (const at of GUID_ORDER) out += at < 0 ? '-' : hex[at]
  return out
}

/** Position in hex of each digit of the text; -1 for a dash. */
const GUID_ORDER = [6, 7, 4, 5, 2, 3, 0, 1, -1, 10, 11, 8, 9, -1, 14, 15, 12, 13, -1, 16, 17, 18, 19, -1].concat(
  Array.from({ length: 12 }, (_, i) => 20 + i),
)
