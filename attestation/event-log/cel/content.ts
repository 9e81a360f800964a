import { concatBytes, equalBytes, toHex, utf8 } from '../../base/index.ts'
import { digest } from '../../crypto/index.ts'
import { EventLogError, type LogPosition } from '../errors.ts'
import type { Coverage } from '../event.ts'
import { EV } from '../firmware/event-types.ts'
import type { CelRecord } from './cel.ts'
import { SYSTEMD_TYPES } from './names.ts'
import { TLV_HEADER_BYTES, writeTlv } from './tlv.ts'
import { type CelContent, decodeCelContent } from './typed-content.ts'

/**
 * TCG PC Client event types whose digest is the hash of the event data. Others have rules of their own (an image's
 * Authenticode hash, a separator's error value, the known exceptions of some shims) and are left to their reader.
 */
const HASH_OF_DATA = new Set<number>([0x05, 0x06, 0x08, 0x80000001, 0x80000006, 0x80000007])
/** systemd measures these by their string; keys are measured with a secret, and newer types may follow another rule. */
const HASH_OF_STRING = new Set(['phase', 'filesystem', 'machine-id', 'product-id'].map((t) => SYSTEMD_TYPES.indexOf(t)))

/** How a record's digests come about, where that is known. */
type DigestRule =
  /** Hash of these bytes; `sure` when any other digest means that the content is not what was measured. */
  | { readonly kind: 'hash'; readonly of: Uint8Array; readonly sure: boolean }
  | { readonly kind: 'unknown'; readonly why: string }
  | { readonly kind: 'not-extended'; readonly why: string }

/**
 * Checks that nested content has the form its type demands. Types that are not known here stay opaque.
 * @throws EventLogError EVENT_LOG_BAD_CONTENT, or of the TLV reader
 */
export function checkContentForm(record: CelRecord, position?: LogPosition): void {
  decodeCelContent(record, position)
}

/**
 * @returns the bytes that the digests of this record are taken over; undefined where that depends on more than the
 * record
 * @throws EventLogError when the content has not the form of its type
 */
function digestedBytes(record: CelRecord, position?: LogPosition): Uint8Array | undefined {
  const rule = digestRule(record, decodeCelContent(record, position))
  return rule.kind === 'hash' && rule.sure ? rule.of : undefined
}

/**
 * Compares every digest of a known bank with the content.
 * @returns 'checked' when all of them are the content's; 'unchecked' when this type's rule needs more than the record
 * @throws EventLogError EVENT_LOG_DIGEST_MISMATCH, or of the content's form
 */
export function checkContentDigests(record: CelRecord, position?: LogPosition): 'checked' | 'unchecked' {
  const bytes = digestedBytes(record, position)
  if (bytes === undefined) return 'unchecked'
  for (const d of record.digests) {
    if (d.bank === undefined) continue // nothing can be replayed with it either
    const got = digest(d.bank, bytes)
    if (equalBytes(got, d.bytes)) continue
    throw new EventLogError(
      'EVENT_LOG_DIGEST_MISMATCH',
      `the ${d.bank} digest is ${toHex(d.bytes)}, the content's is ${toHex(got)}`,
      position === undefined ? {} : { position },
    )
  }
  return 'checked'
}

/**
 * What the record's digests say of its content, and why, in words.
 * @throws EventLogError when the content has not the form of its type
 */
export function celCoverage(
  record: CelRecord,
  content: CelContent = decodeCelContent(record),
): { readonly coverage: Coverage; readonly why: string } {
  const known = record.digests.flatMap((d) => (d.bank === undefined ? [] : [{ bank: d.bank, bytes: d.bytes }]))
  if (record.digests.length === 0) return { coverage: 'not-extended', why: 'the record has no digest' }
  if (known.length === 0) return { coverage: 'digest', why: 'no digest is of an algorithm known here' }
  const rule = digestRule(record, content)
  if (rule.kind === 'not-extended') return { coverage: 'not-extended', why: rule.why }
  if (rule.kind === 'unknown') return { coverage: 'digest', why: rule.why }
  if (content.kind === 'ima_template') {
    const special = imaSpecial(known, rule.of)
    if (special !== undefined) return special
  }
  const other = known.find((d) => !equalBytes(digest(d.bank, rule.of), d.bytes))
  if (other === undefined) return { coverage: 'data', why: 'every digest is that of the content' }
  if (rule.sure) return { coverage: 'mismatch', why: `the ${other.bank} digest is not that of the content` }
  return { coverage: 'digest', why: `the ${other.bank} digest is of something that is not in the log` }
}

/** Violations, and banks that a kernel before 5.8 filled with the padded SHA-1 digest. */
function imaSpecial(
  known: readonly { bank: Parameters<typeof digest>[0]; bytes: Uint8Array }[],
  data: Uint8Array,
): { coverage: Coverage; why: string } | undefined {
  if (known.every((d) => d.bytes.every((b) => b === 0xff)) || known.every((d) => d.bytes.every((b) => b === 0))) {
    return { coverage: 'digest', why: 'IMA could not measure the file and says so (a violation)' }
  }
  const sha1 = digest('sha1', data)
  const padded = known.every((d) => {
    const bytes = new Uint8Array(d.bytes.length)
    bytes.set(sha1.subarray(0, bytes.length))
    return equalBytes(bytes, d.bytes)
  })
  return padded ? { coverage: 'data', why: 'every digest is the SHA-1 digest of the content, padded' } : undefined
}

function digestRule(record: CelRecord, content: CelContent): DigestRule {
  switch (content.kind) {
    case 'holdfast':
    case 'systemd_string':
      return { kind: 'hash', of: content.bytes, sure: true }
    case 'mgmt':
    case 'cos': {
      const whole = new Uint8Array(TLV_HEADER_BYTES + record.content.length)
      writeTlv(whole, 0, record.contentType, record.content)
      return { kind: 'hash', of: whole, sure: record.rebuilt !== true }
    }
    case 'pcclient_std': {
      const { claimedEventType: type, eventData } = content
      if (type === EV.NO_ACTION) return { kind: 'not-extended', why: 'EV_NO_ACTION is not extended' }
      return { kind: 'hash', of: eventData, sure: HASH_OF_DATA.has(type) }
    }
    case 'ima_template':
      return { kind: 'hash', of: imaDigested(content.name, content.data), sure: false }
    case 'systemd': {
      const { string, eventType } = content.event
      if (string === undefined) return { kind: 'unknown', why: 'a secret was measured, which the log does not hold' }
      return { kind: 'hash', of: utf8(string), sure: HASH_OF_STRING.has(eventType) }
    }
    default:
      return { kind: 'unknown', why: 'how this type of content is digested is not known here' }
  }
}

/**
 * What IMA hashes: the template data, but for the oldest template a 20-byte hash and the file's name padded to 256
 * bytes.
 * Source: Linux security/integrity/ima/ima_template.c, ima_calc_field_array_hash.
 */
export function imaDigested(name: string, data: Uint8Array): Uint8Array {
  if (name !== 'ima' || data.length < 24) return data
  const size = new DataView(data.buffer, data.byteOffset + 20, 4).getUint32(0, true)
  if (size !== data.length - 24 || size > 255) return data
  return concatBytes(data.subarray(0, 20), data.subarray(24), new Uint8Array(256 - size))
}
