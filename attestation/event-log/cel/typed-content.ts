import { concatBytes, fromUtf8, utf8 } from '../../base/index.ts'
import type { EventLogError, LogPosition } from '../errors.ts'
import { CEL_CONTENT, type CelRecord } from './cel.ts'
import { TLV_HEADER_BYTES, type Tlv, TlvReader, writeTlv } from './tlv.ts'

/** Events about the log itself. Types 80 and 81 are libcel's numbers, 128 and 129 those of eventlogs. */
export type CelManagement =
  | { readonly type: 'cel_version'; readonly major: number; readonly minor: number }
  | { readonly type: 'firmware_end' }
  | { readonly type: 'cel_timestamp'; readonly value: bigint }
  | { readonly type: 'state_trans'; readonly value: number }
  | { readonly type: 'unknown'; readonly number: number; readonly value: Uint8Array }

/** One of systemd's measurements as libcel encodes it. `string` is absent where a secret was measured. */
export interface CelSystemd {
  readonly eventType: number
  readonly timestamp: bigint
  readonly bootId: Uint8Array
  readonly string?: string
}

/** Content by its type; all of it claims until the digests are checked. */
export type CelContent =
  | { readonly kind: 'mgmt'; readonly events: readonly CelManagement[] }
  | { readonly kind: 'pcclient_std'; readonly claimedEventType: number; readonly eventData: Uint8Array }
  | { readonly kind: 'ima_template'; readonly name: string; readonly data: Uint8Array }
  | { readonly kind: 'ima_tlv'; readonly fields: readonly Tlv[] }
  | { readonly kind: 'systemd'; readonly event: CelSystemd }
  /** cel_util's form of systemd's measurements: the measured string alone. */
  | { readonly kind: 'systemd_string'; readonly bytes: Uint8Array }
  | { readonly kind: 'cos'; readonly type: number; readonly value: Uint8Array }
  | { readonly kind: 'holdfast'; readonly bytes: Uint8Array }
  | { readonly kind: 'unknown'; readonly contentType: number; readonly bytes: Uint8Array }

/** As many as libcel reads in one record. */
const MAX_MANAGEMENT = 16
export const MAX_TEMPLATE_NAME = 254
const U16 = 0xffff
const U32 = 0xffffffff
const MGMT = {
  version: 1,
  firmwareEnd: 2,
  timestamp: 80,
  stateTrans: 81,
  timestamp128: 128,
  stateTrans129: 129,
} as const

/**
 * Content as its type has it. A type that is not known here stays opaque.
 * @throws EventLogError EVENT_LOG_BAD_CONTENT, or of the TLV reader
 */
export function decodeCelContent({ contentType, content }: CelRecord, position?: LogPosition): CelContent {
  const r = new TlvReader(content, position)
  switch (contentType) {
    case CEL_CONTENT.mgmt:
      return { kind: 'mgmt', events: management(r, position) }
    case CEL_CONTENT.pcclientStd: {
      const claimedEventType = r.number('event_type', nested(r, 'event_type', 0).value, U32)
      const eventData = nested(r, 'event_data', 1).value
      endContent(r)
      return { kind: 'pcclient_std', claimedEventType, eventData }
    }
    case CEL_CONTENT.imaTemplate: {
      const name = templateName(r, nested(r, 'template_name', 0).value)
      const data = nested(r, 'template_data', 1).value
      endContent(r)
      return { kind: 'ima_template', name, data }
    }
    case CEL_CONTENT.imaTlv:
      return { kind: 'ima_tlv', fields: fieldsOnce(r, 'ima_tlv') }
    case CEL_CONTENT.systemd:
      return { kind: 'systemd', event: systemd(r) }
    case CEL_CONTENT.systemdString:
      return { kind: 'systemd_string', bytes: content }
    case CEL_CONTENT.cos: {
      const { type, value } = r.next('event', content.length)
      endContent(r)
      return { kind: 'cos', type, value }
    }
    case CEL_CONTENT.holdfast:
      return { kind: 'holdfast', bytes: content }
    default:
      return { kind: 'unknown', contentType, bytes: content }
  }
}

/** Content's type and bytes, with integers in as few bytes as hold them, as libcel writes; event types in 4. */
export function encodeCelContent(content: CelContent): { readonly contentType: number; readonly content: Uint8Array } {
  switch (content.kind) {
    case 'mgmt':
      return { contentType: CEL_CONTENT.mgmt, content: concatBytes(...content.events.map(encodeManagement)) }
    case 'pcclient_std': {
      const type = tlv(0, unsigned(BigInt(content.claimedEventType), 4))
      return { contentType: CEL_CONTENT.pcclientStd, content: concatBytes(type, tlv(1, content.eventData)) }
    }
    case 'ima_template':
      return {
        contentType: CEL_CONTENT.imaTemplate,
        content: concatBytes(tlv(0, utf8(content.name)), tlv(1, content.data)),
      }
    case 'ima_tlv':
      return {
        contentType: CEL_CONTENT.imaTlv,
        content: concatBytes(...content.fields.map((f) => tlv(f.type, f.value))),
      }
    case 'systemd': {
      const { eventType, timestamp, bootId, string } = content.event
      const fields = [tlv(0, unsigned(BigInt(eventType))), tlv(1, unsigned(timestamp)), tlv(2, bootId)]
      if (string !== undefined) fields.push(tlv(3, utf8(string)))
      return { contentType: CEL_CONTENT.systemd, content: concatBytes(...fields) }
    }
    case 'systemd_string':
      return { contentType: CEL_CONTENT.systemdString, content: content.bytes }
    case 'cos':
      return { contentType: CEL_CONTENT.cos, content: tlv(content.type, content.value) }
    case 'holdfast':
      return { contentType: CEL_CONTENT.holdfast, content: content.bytes }
    case 'unknown':
      return { contentType: content.contentType, content: content.bytes }
  }
}

function management(r: TlvReader, position: LogPosition | undefined): CelManagement[] {
  const events: CelManagement[] = []
  do {
    const { type, value } = r.next('mgmt event', r.bytes.length)
    if (events.length === MAX_MANAGEMENT) throw bad(r, `more than ${MAX_MANAGEMENT} events in one record`)
    events.push(managementEvent(r, type, value, position))
  } while (!r.done)
  return events
}

function managementEvent(
  r: TlvReader,
  type: number,
  value: Uint8Array,
  position: LogPosition | undefined,
): CelManagement {
  switch (type) {
    case MGMT.version: {
      const fields = new Map(fieldsOnce(new TlvReader(value, position), 'cel_version').map((f) => [f.type, f.value]))
      const [major, minor] = [fields.get(0), fields.get(1)]
      if (major === undefined || minor === undefined || fields.size !== 2) {
        throw bad(r, 'cel_version has major and minor, each once, and nothing else')
      }
      return { type: 'cel_version', major: small(r, 'major', major, U16), minor: small(r, 'minor', minor, U16) }
    }
    case MGMT.firmwareEnd:
      if (value.length > 0) throw bad(r, 'firmware_end has no data')
      return { type: 'firmware_end' }
    case MGMT.timestamp:
    case MGMT.timestamp128:
      return { type: 'cel_timestamp', value: u64(r, 'cel_timestamp', value) }
    case MGMT.stateTrans:
    case MGMT.stateTrans129:
      return { type: 'state_trans', value: small(r, 'state_trans', value, U32) }
    default:
      return { type: 'unknown', number: type, value }
  }
}

function encodeManagement(event: CelManagement): Uint8Array {
  switch (event.type) {
    case 'cel_version': {
      const [major, minor] = [tlv(0, unsigned(BigInt(event.major))), tlv(1, unsigned(BigInt(event.minor)))]
      return tlv(MGMT.version, concatBytes(major, minor))
    }
    case 'firmware_end':
      return tlv(MGMT.firmwareEnd, new Uint8Array())
    case 'cel_timestamp':
      return tlv(MGMT.timestamp, unsigned(event.value))
    case 'state_trans':
      return tlv(MGMT.stateTrans, unsigned(BigInt(event.value)))
    case 'unknown':
      return tlv(event.number, event.value)
  }
}

function systemd(r: TlvReader): CelSystemd {
  const fields = new Map(fieldsOnce(r, 'systemd').map((f) => [f.type, f.value]))
  const [type, time, bootId, string] = [fields.get(0), fields.get(1), fields.get(2), fields.get(3)]
  if (type === undefined || time === undefined || bootId?.length !== 16 || fields.size > (string ? 4 : 3)) {
    throw bad(r, 'systemd content has an event type, a timestamp, a boot id of 16 bytes, and at most a string')
  }
  const event = { eventType: r.number('event type', type, 255), timestamp: u64(r, 'timestamp', time), bootId }
  return string === undefined ? event : { ...event, string: text(r, 'string', string) }
}

function templateName(r: TlvReader, value: Uint8Array): string {
  const name = text(r, 'template_name', value)
  if (name === '' || value.length > MAX_TEMPLATE_NAME) {
    throw bad(r, `template_name of ${value.length} bytes, expected 1 to ${MAX_TEMPLATE_NAME}`)
  }
  return name
}

/** All fields of nested content, each type once. */
function fieldsOnce(r: TlvReader, what: string): Tlv[] {
  const fields: Tlv[] = []
  const seen = new Set<number>()
  while (!r.done) {
    const field = r.next(what, r.bytes.length)
    if (seen.has(field.type)) throw bad(r, `${what} has field ${field.type} twice`)
    seen.add(field.type)
    fields.push(field)
  }
  return fields
}

function nested(r: TlvReader, field: string, type: number): Tlv {
  const found = r.next(field, r.bytes.length)
  if (found.type !== type) throw bad(r, `field type ${found.type} where ${field} must be`)
  return found
}

function endContent(r: TlvReader): void {
  if (!r.done) throw bad(r, `${r.bytes.length - r.offset} bytes after the content's last field`)
}

function text(r: TlvReader, what: string, bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes)
  } catch {
    throw bad(r, `${what} is not UTF-8`)
  }
}

/** An integer inside content: eventlogs writes 0 as no byte at all. */
function small(r: TlvReader, what: string, value: Uint8Array, max: number): number {
  return value.length === 0 ? 0 : r.number(what, value, max)
}

function u64(r: TlvReader, what: string, value: Uint8Array): bigint {
  if (value.length > 8) {
    throw r.error('EVENT_LOG_BAD_NUMBER', `${what}: an integer of ${value.length} bytes, at most 8 are read`)
  }
  return value.reduce((n, b) => n * 256n + BigInt(b), 0n)
}

function bad(r: TlvReader, message: string): EventLogError {
  return r.error('EVENT_LOG_BAD_CONTENT', message)
}

function tlv(type: number, value: Uint8Array): Uint8Array {
  const out = new Uint8Array(TLV_HEADER_BYTES + value.length)
  writeTlv(out, 0, type, value)
  return out
}

/** Big-endian, without leading zeros beyond `width` bytes. */
function unsigned(n: bigint, width = 1): Uint8Array {
  const bytes: number[] = []
  for (let rest = n; rest > 0n; rest >>= 8n) bytes.unshift(Number(rest & 0xffn))
  while (bytes.length < width) bytes.unshift(0)
  return Uint8Array.from(bytes)
}
