import { EventLogError } from '../errors.ts'
import type { EventDigests } from '../event.ts'
import { EV } from './event-types.ts'
import type { FirmwareEvent, FirmwareLog, FirmwareLogAlgorithm } from './firmware-log.ts'
import { decodeSpecId, isSpecId } from './spec-id.ts'

/** Far above any firmware's log area: 64 KiB to 1 MiB are usual, and Windows adds some hundred KiB. */
const MAX_FIRMWARE_LOG_BYTES = 1 << 24
const MAX_EVENTS = 1 << 16
/** The longest known, a driver list of Windows, has 32 KiB. */
const MAX_EVENT_BYTES = 1 << 20
const MAX_DIGESTS = 16

/** PCRs of a PC Client TPM; MRTD and RTMR 0 to 3. */
const LAST_REGISTER = { tpm: 23, ccel: 4 } as const
/** Windows writes its quote of a resumed boot into no register at all. */
const NO_REGISTER = 0xffffffff

const SHA1_BYTES = 20
const SHA1_HEADER_BYTES = 32
const AGILE_HEADER_BYTES = 12
const SHA1_ONLY: readonly FirmwareLogAlgorithm[] = [{ id: 0x0004, size: SHA1_BYTES, bank: 'sha1' }]

export interface FirmwareLogOptions {
  /** What wrote the log: firmware with a TPM, or that of a TDX guest (the ACPI table CCEL). Default `tpm`. */
  readonly kind?: 'tpm' | 'ccel'
}

/**
 * Reads a TCG firmware log, little-endian: the first event in the TPM 1.2 form and, if that is a Spec ID event,
 * TCG_PCR_EVENT2 from then on, else more of the TPM 1.2 form. Nothing in it is believed: replay proves digests,
 * `firmwareEventCoverage` says what these are of.
 *
 * 0xFF or 0x00 behind the last event is fill of a fixed area, if nothing else follows and it is longer than what an
 * event can begin with: four bytes 0xFF (Windows's event of no register), all of an empty event 0x00.
 *
 * Source: TCG PC Client Platform Firmware Profile r1.06 §10.
 *
 * @returns events in log order; their byte fields are views of `bytes`
 * @throws EventLogError EVENT_LOG_UNKNOWN_FORMAT, EVENT_LOG_TRUNCATED, EVENT_LOG_TOO_LONG, EVENT_LOG_BAD_NUMBER,
 *   EVENT_LOG_BAD_DIGEST, EVENT_LOG_DUPLICATE_DIGEST; a log that is cut anywhere but between two events is never read
 *   in part
 */
export function readFirmwareLog(bytes: Uint8Array, options: FirmwareLogOptions = {}): FirmwareLog {
  if (bytes.length > MAX_FIRMWARE_LOG_BYTES) {
    throw new EventLogError(
      'EVENT_LOG_TOO_LONG',
      `a firmware log of ${bytes.length} bytes, at most ${MAX_FIRMWARE_LOG_BYTES} are read`,
    )
  }
  const kind = options.kind ?? 'tpm'
  // A Buffer's subarrays would be Buffers.
  const reader = new RecordReader(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length), LAST_REGISTER[kind])
  checkStart(reader, kind)
  const first = reader.sha1Event(0)
  const registers = kind === 'ccel' ? 'rtmr' : 'pcr'
  if (first.type === EV.NO_ACTION && isSpecId(first.data)) {
    const { algorithms, missingVendorBytes } = decodeSpecId(first.data)
    const head = missingVendorBytes === 0 ? first : reader.withMore(first, missingVendorBytes)
    const rest = readRest(reader, head, AGILE_HEADER_BYTES + 4, (index) => reader.agileEvent(index, algorithms))
    return { format: 'crypto-agile', registers, algorithms, ...rest }
  }
  if (kind === 'ccel') {
    throw new EventLogError('EVENT_LOG_UNKNOWN_FORMAT', 'a CCEL begins with a Spec ID event, this log does not')
  }
  const rest = readRest(reader, first, SHA1_HEADER_BYTES, (index) => reader.sha1Event(index))
  return { format: 'sha1', registers, algorithms: SHA1_ONLY, ...rest }
}

function readRest(
  reader: RecordReader,
  first: FirmwareEvent,
  emptyEventBytes: number,
  next: (index: number) => FirmwareEvent,
): { events: readonly FirmwareEvent[]; padding: number } {
  const events = [first]
  while (reader.at < reader.bytes.length) {
    if (reader.restIsFill(emptyEventBytes)) return { events, padding: reader.bytes.length - reader.at }
    if (events.length === MAX_EVENTS)
      throw reader.error('EVENT_LOG_TOO_LONG', events.length, `more than ${MAX_EVENTS} events`)
    events.push(next(events.length))
  }
  return { events, padding: 0 }
}

/** Tells what people mistake for a log, before its bytes are taken for lengths. */
function checkStart(reader: RecordReader, kind: 'tpm' | 'ccel'): void {
  const { bytes, view } = reader
  if (bytes.length < SHA1_HEADER_BYTES) {
    throw new EventLogError('EVENT_LOG_TRUNCATED', `a firmware log of ${bytes.length} bytes holds no event`)
  }
  const register = view.getUint32(0, true)
  const type = view.getUint32(4, true)
  if (register <= LAST_REGISTER[kind] && !isSwapped(type)) return
  const text = /^\s*[[{]/.test(String.fromCharCode(...bytes.subarray(0, 16)))
  const what = text
    ? 'this is text (JSON), not a binary log as firmware writes it'
    : view.getUint32(0) <= LAST_REGISTER[kind] && isSwapped(type)
      ? 'this log is big-endian, firmware of the known kinds writes little-endian'
      : `the first event is of register ${register} and type 0x${type.toString(16)}, as in no firmware log`
  throw new EventLogError('EVENT_LOG_UNKNOWN_FORMAT', what)
}

/** True for an event type of small number read in the wrong byte order. */
function isSwapped(type: number): boolean {
  return type !== 0 && (type & 0xffffff) === 0 && type >>> 24 <= EV.POST_CODE2
}

/**
 * Reads records, and owns every bound: a count or size is compared with its maximum and with what remains before it is
 * used.
 */
class RecordReader {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly #lastRegister: number
  at = 0

  constructor(bytes: Uint8Array, lastRegister: number) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#lastRegister = lastRegister
  }

  /** TCG_PCClientPCREvent: pcr u32, type u32, SHA-1 digest, size u32, data. */
  sha1Event(index: number): FirmwareEvent {
    const offset = this.at
    this.#need(index, SHA1_HEADER_BYTES, 'the header')
    const { register, type } = this.#registerAndType(index)
    const digests = { sha1: this.bytes.subarray(offset + 8, offset + 8 + SHA1_BYTES) }
    this.at = offset + 8 + SHA1_BYTES
    return { index, offset, register, type, digests, data: this.#data(index, offset) }
  }

  /** TCG_PCR_EVENT2: pcr u32, type u32, digest count u32, as many of (algorithm u16, digest), size u32, data. */
  agileEvent(index: number, algorithms: readonly FirmwareLogAlgorithm[]): FirmwareEvent {
    const offset = this.at
    this.#need(index, AGILE_HEADER_BYTES, 'the header')
    const { register, type } = this.#registerAndType(index)
    const count = this.view.getUint32(offset + 8, true)
    if (count === 0 || count > MAX_DIGESTS) {
      throw this.error('EVENT_LOG_BAD_DIGEST', index, `${count} digests, expected 1 to ${MAX_DIGESTS}`, offset)
    }
    this.at = offset + AGILE_HEADER_BYTES
    const digests = this.#digests(index, count, algorithms, offset)
    return { index, offset, register, type, digests, data: this.#data(index, offset) }
  }

  /** An event with bytes that its writer left out of its size. */
  withMore(event: FirmwareEvent, size: number): FirmwareEvent {
    this.#need(event.index, size, 'vendorInfo', event.offset)
    this.at += size
    return { ...event, data: this.bytes.subarray(this.at - size - event.data.length, this.at) }
  }

  /** True when all that remains is 0xFF or 0x00, and is no event that was cut. */
  restIsFill(emptyEventBytes: number): boolean {
    const { bytes, at } = this
    const fill = bytes[at]
    if (fill !== 0xff && fill !== 0) return false
    if (bytes.length - at < (fill === 0 ? emptyEventBytes : 5)) return false
    for (let i = at + 1; i < bytes.length; i++) if (bytes[i] !== fill) return false
    return true
  }

  error(
    code: ConstructorParameters<typeof EventLogError>[0],
    index: number,
    message: string,
    offset = this.at,
  ): EventLogError {
    return new EventLogError(code, message, { position: { offset, recnum: index } })
  }

  #registerAndType(index: number): { register: number; type: number } {
    const register = this.view.getUint32(this.at, true)
    const type = this.view.getUint32(this.at + 4, true)
    if (register > this.#lastRegister && !(register === NO_REGISTER && type === EV.NO_ACTION)) {
      throw this.error('EVENT_LOG_BAD_NUMBER', index, `register ${register}, the last one is ${this.#lastRegister}`)
    }
    return { register, type }
  }

  #digests(index: number, count: number, algorithms: readonly FirmwareLogAlgorithm[], offset: number): EventDigests {
    const digests: { -readonly [bank in keyof EventDigests]: EventDigests[bank] } = {}
    let seen = 0 // bit i: algorithms[i]
    for (let i = 0; i < count; i++) {
      this.#need(index, 2, 'a digest', offset)
      const id = this.view.getUint16(this.at, true)
      const which = algorithms.findIndex((a) => a.id === id)
      const algorithm = algorithms[which]
      if (algorithm === undefined) {
        throw this.error('EVENT_LOG_BAD_DIGEST', index, `algorithm ${id} is not in the Spec ID event`, offset)
      }
      if ((seen & (1 << which)) !== 0) {
        throw this.error('EVENT_LOG_DUPLICATE_DIGEST', index, `two digests of algorithm ${id}`, offset)
      }
      seen |= 1 << which
      this.at += 2
      this.#need(index, algorithm.size, 'a digest', offset)
      if (algorithm.bank !== undefined) digests[algorithm.bank] = this.bytes.subarray(this.at, this.at + algorithm.size)
      this.at += algorithm.size
    }
    return digests
  }

  #data(index: number, offset: number): Uint8Array {
    this.#need(index, 4, 'the data size', offset)
    const size = this.view.getUint32(this.at, true)
    if (size > MAX_EVENT_BYTES) {
      throw this.error(
        'EVENT_LOG_TOO_LONG',
        index,
        `${size} bytes of data, at most ${MAX_EVENT_BYTES} are read`,
        offset,
      )
    }
    this.at += 4
    this.#need(index, size, 'the data', offset)
    this.at += size
    return this.bytes.subarray(this.at - size, this.at)
  }

  #need(index: number, size: number, what: string, offset = this.at): void {
    const left = this.bytes.length - this.at
    if (size <= left) return
    throw this.error('EVENT_LOG_TRUNCATED', index, `${what} wants ${size} bytes, ${left} are left`, offset)
  }
}
