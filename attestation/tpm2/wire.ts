import { CodedError, toHex } from '../base/index.ts'

/** What can be wrong with bytes that should be a TPM structure, one sentence each. */
export const WIRE_ERRORS = {
  WIRE_TRUNCATED: 'The bytes end before the field does.',
  WIRE_TOO_LONG: 'A size, a count or the whole input is above the limit of its field.',
  WIRE_BAD_VALUE: 'A field has a value that its type does not have, or a form that is not the canonical one.',
  WIRE_TRAILING_BYTES: 'Bytes are left over after the last field.',
} as const satisfies Record<string, string>

export type WireErrorCode = keyof typeof WIRE_ERRORS

/** Bytes of a peer that are not the structure they should be. */
export class WireError extends CodedError<WireErrorCode> {
  /** The field that was being read, as Part 2 spells it, or the structure's name when it is about the whole. */
  readonly field: string
  /** Offset of that field from the first byte given to the reader. */
  readonly offset: number
  constructor(code: WireErrorCode, structure: string, field: string, offset: number, detail: string) {
    super(code, `${structure}: ${field} at byte ${offset}: ${detail}`)
    this.field = field
    this.offset = offset
  }
}

/**
 * Reads one TPM structure: integers are big-endian, sized buffers have a u16 in front. It owns every bound: a size is
 * compared with its maximum and with what remains before anything is copied. What it returns is the caller's own copy,
 * so that a receive buffer may be reused; only tpm2bView() gives a view.
 *
 * All methods throw WireError; each names the field it reads.
 */
export class WireReader {
  readonly #bytes: Uint8Array
  readonly #structure: string
  readonly #view: DataView
  readonly #base: number
  #at = 0

  /**
   * @param bytes the structure and nothing else
   * @param structure its name for messages, e.g. 'TPMS_ATTEST'
   * @param base where `bytes` starts in what the peer sent, for the offsets in messages
   */
  constructor(bytes: Uint8Array, structure: string, base = 0) {
    // A Buffer's slice() is a view; a plain Uint8Array's is a copy.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#structure = structure
    this.#base = base
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.#bytes.length - this.#at
  }

  u8(field: string): number {
    return this.#view.getUint8(this.#take(field, 1))
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#take(field, 2))
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#take(field, 4))
  }

  u64(field: string): bigint {
    return this.#view.getBigUint64(this.#take(field, 8))
  }

  /** TPMI_YES_NO: 0 or 1, nothing else. */
  yesNo(field: string): boolean {
    const value = this.u8(field)
    if (value > 1) throw this.badValue(field, 1, `${value} is neither 0 nor 1`)
    return value === 1
  }

  expectU16(field: string, wanted: number): void {
    const got = this.u16(field)
    if (got !== wanted) throw this.badValue(field, 2, `got ${hex(got, 4)}, wanted ${hex(wanted, 4)}`)
  }

  expectU32(field: string, wanted: number): void {
    const got = this.u32(field)
    if (got !== wanted) throw this.badValue(field, 4, `got ${hex(got, 8)}, wanted ${hex(wanted, 8)}`)
  }

  /** Exactly `size` bytes. */
  bytes(field: string, size: number): Uint8Array {
    const at = this.#take(field, size)
    return this.#bytes.slice(at, at + size)
  }

  /** A u16 size and as many bytes, `maxBytes` at most. */
  tpm2b(field: string, maxBytes: number): Uint8Array {
    return this.bytes(field, this.#size(field, maxBytes))
  }

  /** As tpm2b(), but a view of the input: for what is used at once, as a copy of a large one costs much. */
  tpm2bView(field: string, maxBytes: number): Uint8Array {
    const size = this.#size(field, maxBytes)
    const at = this.#take(field, size)
    return this.#bytes.subarray(at, at + size)
  }

  /**
   * A u16 size and a structure that fills it.
   *
   * @param read reads the structure; bytes it leaves are WIRE_TRAILING_BYTES
   */
  sized<T>(field: string, maxBytes: number, read: (inner: WireReader) => T): T {
    const size = this.#size(field, maxBytes)
    const at = this.#take(field, size)
    const inner = new WireReader(this.#bytes.subarray(at, at + size), this.#structure, this.#base + at)
    const value = read(inner)
    inner.end()
    return value
  }

  /** A u32 count for a list, `max` at most. */
  count(field: string, max: number): number {
    const count = this.u32(field)
    if (count > max) throw this.#error('WIRE_TOO_LONG', field, this.#at - 4, `count ${count} is above ${max}`)
    return count
  }

  /** The rest, `maxBytes` at most. */
  rest(field: string, maxBytes: number): Uint8Array {
    const size = this.remaining
    if (size > maxBytes) throw this.#error('WIRE_TOO_LONG', field, this.#at, `${size} bytes are above ${maxBytes}`)
    return this.bytes(field, size)
  }

  /** A byte left over is an error. */
  end(): void {
    if (this.remaining === 0) return
    const first = toHex(this.#bytes.subarray(this.#at, this.#at + 4))
    throw this.#error('WIRE_TRAILING_BYTES', this.#structure, this.#at, `${this.remaining} left over, first ${first}`)
  }

  /**
   * For the codec that knows which values the field has.
   *
   * @param size of the field just read, so that the offset is where it began
   */
  badValue(field: string, size: number, detail: string): WireError {
    return this.#error('WIRE_BAD_VALUE', field, this.#at - size, detail)
  }

  #size(field: string, maxBytes: number): number {
    if (this.remaining < 2) this.#take(`${field}.size`, 2) // its name is made only to be told
    const size = this.u16(field)
    if (size > maxBytes) throw this.#error('WIRE_TOO_LONG', field, this.#at - 2, `size ${size} is above ${maxBytes}`)
    return size
  }

  #take(field: string, size: number): number {
    const at = this.#at
    if (size > this.#bytes.length - at) {
      throw this.#error('WIRE_TRUNCATED', field, at, `wants ${size} bytes, ${this.#bytes.length - at} remain`)
    }
    this.#at = at + size
    return at
  }

  #error(code: WireErrorCode, field: string, at: number, detail: string): WireError {
    return new WireError(code, this.#structure, field, this.#base + at, detail)
  }
}

/** Refuses input above the structure's limit before anything is read. @throws WireError WIRE_TOO_LONG */
export function limitInput(bytes: Uint8Array, structure: string, maxBytes: number): void {
  if (bytes.length <= maxBytes) return
  throw new WireError('WIRE_TOO_LONG', structure, structure, 0, `${bytes.length} bytes are above ${maxBytes}`)
}

/** Writes one TPM structure, big-endian. A value that does not fit its field is our own mistake: RangeError. */
export class WireWriter {
  #bytes = new Uint8Array(256)
  #view = new DataView(this.#bytes.buffer)
  #at = 0

  u8(value: number): this {
    this.#view.setUint8(this.#room(1), integer(value, 0xff))
    return this
  }

  u16(value: number): this {
    this.#view.setUint16(this.#room(2), integer(value, 0xffff))
    return this
  }

  u32(value: number): this {
    this.#view.setUint32(this.#room(4), integer(value, 0xffffffff))
    return this
  }

  u64(value: bigint): this {
    if (value < 0n || value > 0xffffffffffffffffn) throw new RangeError(`${value} is no unsigned 64-bit integer`)
    this.#view.setBigUint64(this.#room(8), value)
    return this
  }

  yesNo(value: boolean): this {
    return this.u8(value ? 1 : 0)
  }

  bytes(value: Uint8Array): this {
    const at = this.#room(value.length)
    this.#bytes.set(value, at)
    return this
  }

  /** A u16 size and the bytes. */
  tpm2b(value: Uint8Array): this {
    return this.u16(value.length).bytes(value)
  }

  /** A u16 size and what `write` writes. */
  sized(write: (inner: WireWriter) => void): this {
    const inner = new WireWriter()
    write(inner)
    return this.tpm2b(inner.finish())
  }

  /** @returns a copy of what was written so far */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#at)
  }

  #room(size: number): number {
    const at = this.#at
    if (at + size > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, at + size))
      larger.set(this.#bytes)
      this.#bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    this.#at = at + size
    return at
  }
}

function integer(value: number, max: number): number {
  if (!Number.isInteger(value) || value < 0 || value > max) throw new RangeError(`${value} is outside 0..${max}`)
  return value
}

/** `0x` and at least `digits` hexadecimal digits, as specifications print a constant. */
export function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`
}
