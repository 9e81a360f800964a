import { type HashAlgorithm, hashSize } from '../../crypto/index.ts'
import { EventLogError, type EventLogErrorCode } from '../errors.ts'
import { MAX_TEMPLATE_NAME_BYTES } from './templates.ts'

/**
 * Longest template data that is read: measured buffers (policies, key certificates) and signatures have some kilobytes.
 */
const MAX_TEMPLATE_DATA_BYTES = 1 << 20
/** PCRs of a PC Client TPM; a list's entries name one. */
const PCR_COUNT = 24
/** Longest name of the old template: the kernel cuts at 255. */
const MAX_OLD_NAME_BYTES = 255
const OLD_DIGEST_BYTES = 20
const I_M_A = [0x69, 0x6d, 0x61] as const

/**
 * One entry of a binary list, as offsets into it. It is moved from entry to entry, so that a scan of a long list makes
 * no object for each: what must outlive the step is copied.
 */
export interface ImaCursor {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly templateHash: HashAlgorithm
  readonly digestSize: number
  /** Position of the entry in the whole list, from 0, and offset of `bytes` in it. */
  index: number
  readonly base: number
  /** All that follows are offsets into `bytes`. `end` is where the next entry starts. */
  at: number
  pcr: number
  digestAt: number
  nameAt: number
  nameEnd: number
  /** Template data: of the old template from its digest on, else behind the length. */
  dataAt: number
  end: number
  /** True for the old template. */
  old: boolean
}

/** A cursor before the first entry of `bytes`; `nextEntry` moves it onto one. */
export function imaCursor(bytes: Uint8Array, templateHash: HashAlgorithm, index = 0, base = 0): ImaCursor {
  return {
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    templateHash,
    digestSize: hashSize(templateHash),
    index: index - 1,
    base,
    at: 0,
    pcr: 0,
    digestAt: 0,
    nameAt: 0,
    nameEnd: 0,
    dataAt: 0,
    end: 0,
    old: false,
  }
}

/**
 * Moves on by one entry: `pcr u32, template digest, name length u32, name`, then `data length u32, data`, or for the
 * old template `digest[20], name length u32, name`. Little-endian, as nearly all machines are and as
 * `ima_canonical_fmt` asks of the others.
 *
 * @returns false at the end of the list
 * @throws EventLogError EVENT_LOG_TRUNCATED, EVENT_LOG_TOO_LONG, EVENT_LOG_BAD_NUMBER, EVENT_LOG_BAD_CONTENT
 */
export function nextEntry(c: ImaCursor): boolean {
  const { view } = c
  const left = c.bytes.length - c.end
  if (left === 0) return false
  c.at = c.end
  c.index++
  c.digestAt = c.at + 4
  c.nameAt = c.digestAt + c.digestSize + 4
  if (c.nameAt > c.bytes.length) throw bad(c, 'EVENT_LOG_TRUNCATED', `${left} bytes are no entry's head`)
  c.pcr = view.getUint32(c.at, true)
  if (c.pcr >= PCR_COUNT) throw badPcr(c)
  const nameBytes = view.getUint32(c.nameAt - 4, true)
  if (nameBytes > MAX_TEMPLATE_NAME_BYTES) throw tooLong(c, 'template name', nameBytes, MAX_TEMPLATE_NAME_BYTES)
  c.nameEnd = c.nameAt + nameBytes
  c.old = nameBytes === 3 && isOld(c)
  if (c.old) {
    oldData(c)
    return true
  }
  c.dataAt = c.nameEnd + 4
  if (c.dataAt > c.bytes.length) throw bad(c, 'EVENT_LOG_TRUNCATED', 'the list ends before the length of the data')
  const dataBytes = view.getUint32(c.nameEnd, true)
  if (dataBytes > MAX_TEMPLATE_DATA_BYTES) throw tooLong(c, 'template data', dataBytes, MAX_TEMPLATE_DATA_BYTES)
  c.end = c.dataAt + dataBytes
  if (c.end > c.bytes.length) throw bad(c, 'EVENT_LOG_TRUNCATED', `template data says ${dataBytes} bytes`)
  return true
}

/** An error about the entry that the cursor is on. */
export function bad(c: ImaCursor, code: EventLogErrorCode, message: string): EventLogError {
  return new EventLogError(code, message, { position: { offset: c.base + c.at, recnum: c.index } })
}

/**
 * Whether the logged template digest is all zero, which stands for a violation: what was measured is not known to be
 * what was used.
 */
export function isViolation(c: ImaCursor): boolean {
  const { view, digestAt } = c
  for (let i = 0; i < c.digestSize; i += 4) if (view.getInt32(digestAt + i, true) !== 0) return false // sizes are multiples of 4
  return true
}

function isOld(c: ImaCursor): boolean {
  const { bytes, nameAt } = c
  return c.nameEnd <= bytes.length && I_M_A.every((letter, i) => bytes[nameAt + i] === letter)
}

function oldData(c: ImaCursor): void {
  c.dataAt = c.nameEnd
  const lengthAt = c.dataAt + OLD_DIGEST_BYTES
  if (lengthAt + 4 > c.bytes.length) throw bad(c, 'EVENT_LOG_TRUNCATED', 'the list ends before the length of the name')
  const nameBytes = c.view.getUint32(lengthAt, true)
  if (nameBytes > MAX_OLD_NAME_BYTES) throw tooLong(c, 'name', nameBytes, MAX_OLD_NAME_BYTES)
  c.end = lengthAt + 4 + nameBytes
  if (c.end > c.bytes.length) throw bad(c, 'EVENT_LOG_TRUNCATED', `the name says ${nameBytes} bytes`)
}

function tooLong(c: ImaCursor, what: string, got: number, max: number): EventLogError {
  return bad(c, 'EVENT_LOG_TOO_LONG', `${what}: ${got} bytes, at most ${max} are read`)
}

function badPcr(c: ImaCursor): EventLogError {
  const swapped = c.view.getUint32(c.at, false)
  const why =
    swapped < PCR_COUNT
      ? `PCR ${swapped} in big-endian order: start that machine with ima_canonical_fmt`
      : `PCR ${c.pcr} is outside 0..${PCR_COUNT - 1}`
  return bad(c, 'EVENT_LOG_BAD_NUMBER', why)
}
