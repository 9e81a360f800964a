import { type HashAlgorithm, hashSize } from '../../crypto/index.ts'
import { TLV_HEADER_BYTES, type Tlv, TlvReader, writeTlv } from './tlv.ts'

/** Longest content that is read; firmware events are the longest known, and stay far below. */
export const MAX_CONTENT_BYTES = 1 << 20
/** More banks than any TPM allocates. */
export const MAX_DIGESTS = 8
export const MAX_DIGEST_BYTES = 64
const MAX_DIGESTS_BYTES = MAX_DIGESTS * (TLV_HEADER_BYTES + MAX_DIGEST_BYTES)

export const T_RECNUM = 0
export const T_DIGESTS = 3
/** Types of the index field. 108 is not of the specification: Google's confidential VMs number their CCMRs with it. */
export const INDEX_TYPES = { pcr: 1, nv: 2, ccmr: 108 } as const
export const INDEX_MAX = { pcr: 255, nv: 0xffffffff, ccmr: 255 } as const
const INDEX_BYTES = { pcr: 1, nv: 4, ccmr: 1 } as const

/**
 * CEL content type of Holdfast's records: unassigned in the CEL specification 1.0 and unused by other known writers
 * ('H').
 */
export const CEL_CONTENT_HOLDFAST = 72
/** Content types: CEL 1.0, and those in use beside it. */
export const CEL_CONTENT = {
  mgmt: 4,
  pcclientStd: 5,
  imaTemplate: 7,
  imaTlv: 8,
  /** Of cel_util: systemd's measured string, and nothing else. */
  systemdString: 9,
  /** Of libcel: systemd's event type, time, boot id and string. */
  systemd: 11,
  holdfast: CEL_CONTENT_HOLDFAST,
  cos: 80,
} as const

/** Low byte of TPM_ALG_ID by bank, which is how CEL names a digest's algorithm. */
export const CEL_ALG: Readonly<Record<HashAlgorithm, number>> = { sha1: 0x04, sha256: 0x0b, sha384: 0x0c, sha512: 0x0d }
const BANKS: ReadonlyMap<number, HashAlgorithm> = new Map([
  [CEL_ALG.sha1, 'sha1'],
  [CEL_ALG.sha256, 'sha256'],
  [CEL_ALG.sha384, 'sha384'],
  [CEL_ALG.sha512, 'sha512'],
])

/** Register that a record was extended into. */
export interface CelIndex {
  readonly kind: 'pcr' | 'nv' | 'ccmr'
  readonly value: number
}

/**
 * Digest of one bank. `bank` is absent for an algorithm that is not known here: readable, but nothing can be replayed
 * with it.
 */
export interface CelDigest {
  readonly alg: number
  readonly bank?: HashAlgorithm
  readonly bytes: Uint8Array
}

/** One record, as claimed: content and type are only worth something once the digests are checked and replayed. */
export interface CelRecord {
  readonly recnum: number
  readonly index: CelIndex
  readonly digests: readonly CelDigest[]
  readonly contentType: number
  /** The content's value, without its type and length; a view of the bytes that were read. */
  readonly content: Uint8Array
  /**
   * Present when `content` was built from JSON or CBOR: integers in it may have had another width when it was measured.
   */
  readonly rebuilt?: true
}

/** @returns the bank that an algorithm number of CEL names; undefined for one that is not known here */
export function celBank(alg: number): HashAlgorithm | undefined {
  return BANKS.get(alg)
}

/**
 * One record of the TCG Canonical Event Log, TLV encoding: recnum, index, digests, content, in this order.
 * Source: TCG Canonical Event Log Format 1.0 r0.41 §5; widths of integers vary between encoders and are free on
 * reading.
 *
 * @param bytes part of a log
 * @param start where in it the record starts
 * @param base offset of `bytes` in the whole log, for error messages
 * @returns the record, and where in `bytes` the next one starts
 * @throws EventLogError
 */
export function decodeCelRecord(bytes: Uint8Array, start = 0, base = 0): { record: CelRecord; end: number } {
  const r = new TlvReader(bytes, { offset: base + start }, start)
  const recnum = r.number('recnum', expect(r, 'recnum', T_RECNUM, 8), Number.MAX_SAFE_INTEGER)
  const index = readIndex(r)
  const digests = readDigests(expect(r, 'digests', T_DIGESTS, MAX_DIGESTS_BYTES), { offset: base + start, recnum })
  const content = r.next('content', MAX_CONTENT_BYTES)
  if (content.type <= T_DIGESTS || content.type === INDEX_TYPES.ccmr) {
    throw r.error('EVENT_LOG_BAD_ORDER', `field type ${content.type} where the content must be`)
  }
  return { record: { recnum, index, digests, contentType: content.type, content: content.value }, end: r.offset }
}

/**
 * @returns the TLV encoding with the widths written here: recnum 8 bytes, PCR 1, NV index 4
 * @throws RangeError for a record that decodeCelRecord would refuse: nothing unreadable is ever written
 */
export function encodeCelRecord(record: CelRecord): Uint8Array {
  const { recnum, index, digests, contentType, content } = record
  if (!Number.isSafeInteger(recnum) || recnum < 0) throw new RangeError(`recnum ${recnum} is not a counting number`)
  if (!Number.isInteger(index.value) || index.value < 0 || index.value > INDEX_MAX[index.kind]) {
    throw new RangeError(`${index.kind} index ${index.value} is outside 0..${INDEX_MAX[index.kind]}`)
  }
  if (digests.length < 1 || digests.length > MAX_DIGESTS) throw new RangeError(`${digests.length} digests in a record`)
  if (new Set(digests.map((d) => d.alg)).size !== digests.length) throw new RangeError('two digests of one bank')
  if (contentType <= T_DIGESTS || contentType > 255 || contentType === INDEX_TYPES.ccmr) {
    throw new RangeError(`content type ${contentType}`)
  }
  if (content.length > MAX_CONTENT_BYTES) throw new RangeError(`content of ${content.length} bytes`)
  let digestsBytes = 0
  for (const d of digests) {
    const size = celBank(d.alg)
    if (d.bytes.length > MAX_DIGEST_BYTES || d.bytes.length < 1 || (size && hashSize(size) !== d.bytes.length)) {
      throw new RangeError(`a digest of algorithm ${d.alg} has ${d.bytes.length} bytes`)
    }
    digestsBytes += TLV_HEADER_BYTES + d.bytes.length
  }
  const number = new Uint8Array(8)
  new DataView(number.buffer).setBigUint64(0, BigInt(recnum))
  const register = new Uint8Array(4)
  new DataView(register.buffer).setUint32(0, index.value)

  const indexBytes = INDEX_BYTES[index.kind]
  const out = new Uint8Array(4 * TLV_HEADER_BYTES + 8 + indexBytes + digestsBytes + content.length)
  let at = writeTlv(out, 0, T_RECNUM, number)
  at = writeTlv(out, at, INDEX_TYPES[index.kind], register.subarray(4 - indexBytes))
  out[at] = T_DIGESTS
  new DataView(out.buffer).setUint32(at + 1, digestsBytes)
  at += TLV_HEADER_BYTES
  for (const d of digests) at = writeTlv(out, at, d.alg, d.bytes)
  writeTlv(out, at, contentType, content)
  return out
}

function expect(r: TlvReader, field: string, type: number, maxBytes: number): Uint8Array {
  const tlv = r.next(field, MAX_CONTENT_BYTES)
  if (tlv.type !== type) throw r.error('EVENT_LOG_BAD_ORDER', `field type ${tlv.type} where ${field} must be`)
  if (tlv.value.length > maxBytes) {
    const code = type === T_RECNUM ? 'EVENT_LOG_BAD_NUMBER' : 'EVENT_LOG_TOO_LONG'
    throw r.error(code, `${field}: ${tlv.value.length} bytes, at most ${maxBytes} are read`)
  }
  return tlv.value
}

function readIndex(r: TlvReader): CelIndex {
  const tlv: Tlv = r.next('index', MAX_CONTENT_BYTES)
  for (const kind of ['pcr', 'nv', 'ccmr'] as const) {
    if (tlv.type === INDEX_TYPES[kind]) return { kind, value: r.number(`${kind} index`, tlv.value, INDEX_MAX[kind]) }
  }
  throw r.error('EVENT_LOG_BAD_ORDER', `field type ${tlv.type} where the register's index must be`)
}

function readDigests(bytes: Uint8Array, position: { offset: number; recnum: number }): CelDigest[] {
  const r = new TlvReader(bytes, position)
  const digests: CelDigest[] = []
  while (!r.done) {
    const { type: alg, value } = r.next('digest', MAX_DIGEST_BYTES)
    if (digests.some((d) => d.alg === alg)) {
      throw r.error('EVENT_LOG_DUPLICATE_DIGEST', `two digests of algorithm ${alg}`)
    }
    const bank = celBank(alg)
    if (value.length === 0 || (bank !== undefined && value.length !== hashSize(bank))) {
      throw r.error('EVENT_LOG_BAD_DIGEST', `a digest of algorithm ${alg} has ${value.length} bytes`)
    }
    if (digests.length === MAX_DIGESTS) throw r.error('EVENT_LOG_BAD_DIGEST', `more than ${MAX_DIGESTS} digests`)
    digests.push(bank === undefined ? { alg, bytes: value } : { alg, bank, bytes: value })
  }
  if (digests.length === 0) throw r.error('EVENT_LOG_BAD_DIGEST', 'no digest')
  return digests
}
