import { EventLogError, type LogPosition } from '../errors.ts'

/** Type and length of a field. */
export const TLV_HEADER_BYTES = 5

export interface Tlv {
  readonly type: number
  /** A view of the bytes that were read. */
  readonly value: Uint8Array
}

/**
 * Reads TLV fields as CEL 1.0 has them: type u8, length u32 big-endian, value. A length is compared with its maximum
 * and with what remains before anything is sliced.
 */
export class TlvReader {
  readonly bytes: Uint8Array
  #at: number
  readonly #end: number
  readonly #position: LogPosition | undefined

  constructor(bytes: Uint8Array, position?: LogPosition, start = 0) {
    this.bytes = bytes
    this.#at = start
    this.#end = bytes.length
    this.#position = position
  }

  get offset(): number {
    return this.#at
  }

  get done(): boolean {
    return this.#at === this.#end
  }

  /** @throws EventLogError EVENT_LOG_TRUNCATED, EVENT_LOG_TOO_LONG */
  next(field: string, maxBytes: number): Tlv {
    const { bytes } = this
    const left = this.#end - this.#at
    if (left < TLV_HEADER_BYTES) {
      throw this.error('EVENT_LOG_TRUNCATED', `${field}: ${left} bytes left, a field has ${TLV_HEADER_BYTES} in front`)
    }
    const head = new DataView(bytes.buffer, bytes.byteOffset + this.#at, TLV_HEADER_BYTES)
    const length = head.getUint32(1)
    if (length > maxBytes) {
      throw this.error('EVENT_LOG_TOO_LONG', `${field}: ${length} bytes, at most ${maxBytes} are read`)
    }
    if (length > left - TLV_HEADER_BYTES) {
      throw this.error('EVENT_LOG_TRUNCATED', `${field}: ${length} bytes said, ${left - TLV_HEADER_BYTES} left`)
    }
    const start = this.#at + TLV_HEADER_BYTES
    this.#at = start + length
    return { type: head.getUint8(0), value: bytes.subarray(start, this.#at) }
  }

  /**
   * The next field as an unsigned big-endian integer of 1 to 8 bytes: encoders differ in width.
   * @throws EventLogError also EVENT_LOG_BAD_NUMBER
   */
  number(field: string, value: Uint8Array, max: number): number {
    if (value.length < 1 || value.length > 8) {
      throw this.error('EVENT_LOG_BAD_NUMBER', `${field}: an integer of ${value.length} bytes, expected 1 to 8`)
    }
    let n = 0
    for (const b of value) n = n * 256 + b // inexact above 2^53, and every max is below
    if (n > max) throw this.error('EVENT_LOG_BAD_NUMBER', `${field}: ${n} is above ${max}`)
    return n
  }

  error(code: ConstructorParameters<typeof EventLogError>[0], message: string): EventLogError {
    return new EventLogError(code, message, this.#position === undefined ? {} : { position: this.#position })
  }
}

/** Writes one TLV field into `out` and gives the offset after it. */
export function writeTlv(out: Uint8Array, at: number, type: number, value: Uint8Array): number {
  out[at] = type
  new DataView(out.buffer, out.byteOffset).setUint32(at + 1, value.length)
  out.set(value, at + TLV_HEADER_BYTES)
  return at + TLV_HEADER_BYTES + value.length
}
