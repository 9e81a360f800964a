import { equalBytes, toHex } from '../../base/index.ts'
import { digest } from '../../crypto/index.ts'
import { EventLogError, type LogPosition } from '../errors.ts'
import { CEL_CONTENT, type CelRecord } from './cel.ts'
import { TLV_HEADER_BYTES, type Tlv, TlvReader, writeTlv } from './tlv.ts'

/**
 * TCG PC Client event types whose digest is the hash of the event data. Others have rules of their own (an image's
 * Authenticode hash, a separator's error value, the known exceptions of some shims) and are left to their reader.
 */
const HASH_OF_DATA = new Set([0x05, 0x06, 0x08, 0x80000001, 0x80000006, 0x80000007])

/** Fields of `pcclient_std` content; they stay claims where no digest covers them. */
export interface PcClientEvent {
  readonly claimedEventType: number
  readonly eventData: Uint8Array
}

/**
 * @param record of content type `pcclient_std`
 * @throws EventLogError EVENT_LOG_BAD_CONTENT
 */
export function decodePcClientEvent(record: CelRecord, position?: LogPosition): PcClientEvent {
  const r = new TlvReader(record.content, position)
  const claimedEventType = r.number('event_type', nested(r, 'event_type', 0).value, 0xffffffff)
  const eventData = nested(r, 'event_data', 1).value
  endContent(r)
  return { claimedEventType, eventData }
}

/**
 * Checks that nested content has the form its type demands. Types that are not known here stay opaque.
 * @throws EventLogError EVENT_LOG_BAD_CONTENT, or of the TLV reader
 */
export function checkContentForm(record: CelRecord, position?: LogPosition): void {
  switch (record.contentType) {
    case CEL_CONTENT.pcclientStd:
      decodePcClientEvent(record, position)
      return
    case CEL_CONTENT.imaTemplate: {
      const r = new TlvReader(record.content, position)
      nested(r, 'template_name', 0)
      nested(r, 'template_data', 1)
      endContent(r)
      return
    }
    case CEL_CONTENT.mgmt: {
      const r = new TlvReader(record.content, position)
      const event = r.next('mgmt event', record.content.length)
      endContent(r)
      if (event.type === 1) checkCelVersion(event.value, position)
      return
    }
    case CEL_CONTENT.cos: {
      const r = new TlvReader(record.content, position)
      r.next('event', record.content.length)
      endContent(r)
      return
    }
  }
}

/**
 * @returns the bytes that the digests of this record are taken over; undefined where that depends on more than the record
 * @throws EventLogError when the content has not the form of its type
 */
export function digestedBytes(record: CelRecord, position?: LogPosition): Uint8Array | undefined {
  switch (record.contentType) {
    case CEL_CONTENT.holdfast:
      return record.content
    case CEL_CONTENT.mgmt:
    case CEL_CONTENT.cos: {
      const whole = new Uint8Array(TLV_HEADER_BYTES + record.content.length)
      writeTlv(whole, 0, record.contentType, record.content)
      return whole
    }
    case CEL_CONTENT.pcclientStd: {
      const event = decodePcClientEvent(record, position)
      return HASH_OF_DATA.has(event.claimedEventType) ? event.eventData : undefined
    }
    default:
      return undefined
  }
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

function checkCelVersion(bytes: Uint8Array, position?: LogPosition): void {
  const r = new TlvReader(bytes, position)
  const seen = new Set<number>()
  while (!r.done) {
    const { type } = r.next('cel_version', bytes.length)
    if (type > 1 || seen.has(type)) throw r.error('EVENT_LOG_BAD_CONTENT', `cel_version has a field ${type} too many`)
    seen.add(type)
  }
}

function nested(r: TlvReader, field: string, type: number): Tlv {
  const tlv = r.next(field, r.bytes.length)
  if (tlv.type !== type) throw r.error('EVENT_LOG_BAD_CONTENT', `field type ${tlv.type} where ${field} must be`)
  return tlv
}

function endContent(r: TlvReader): void {
  if (!r.done)
    throw r.error('EVENT_LOG_BAD_CONTENT', `${r.bytes.length - r.offset} bytes after the content's last field`)
}
