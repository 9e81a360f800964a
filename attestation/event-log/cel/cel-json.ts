import { canonicalJson, fromUtf8, type JsonValue, toHex, utf8 } from '../../base/index.ts'
import { parseLaunchLogContent } from '../launch-log/launch-log-schema.ts'
import { CEL_CONTENT, type CelRecord } from './cel.ts'
import { COS_TYPES, STATE_TRANSITIONS, SYSTEMD_TYPES } from './names.ts'
import { type CelContent, type CelManagement, decodeCelContent } from './typed-content.ts'

const INDEX_NAMES = { pcr: 'pcr', nv: 'nv_index', ccmr: 'ccmr' } as const

/**
 * A record as CEL-JSON (TCG Canonical Event Log Format 1.0, JSON encoding), for people and for other tools. Launch-log
 * content is shown as the JSON it is, so that its RFC 8785 form gives the hashed bytes again; content types without a
 * reader are shown in hex.
 *
 * @throws EventLogError for content that has not the form of its type
 */
export function toCelJson(record: CelRecord): JsonValue {
  return {
    recnum: record.recnum,
    [INDEX_NAMES[record.index.kind]]: record.index.value,
    digests: record.digests.map((d) => ({ hashAlg: d.bank ?? d.alg, digest: toHex(d.bytes) })),
    ...contentJson(decodeCelContent(record)),
  }
}

/**
 * A log as CEL-JSON in its one form: an array in RFC 8785 form, digests and data in hexadecimal, event types as
 * numbers.
 * @throws EventLogError as toCelJson
 */
export function encodeCelJson(records: readonly CelRecord[]): Uint8Array {
  return utf8(canonicalJson(records.map(toCelJson)))
}

function contentJson(content: CelContent): { content_type: string | number; content: JsonValue } {
  switch (content.kind) {
    case 'mgmt': {
      const events = content.events.map(managementJson)
      return { content_type: 'cel', content: events.length === 1 ? (events[0] ?? null) : events }
    }
    case 'pcclient_std': {
      const { claimedEventType, eventData } = content
      return { content_type: content.kind, content: { event_type: claimedEventType, event_data: toHex(eventData) } }
    }
    case 'ima_template':
      return {
        content_type: content.kind,
        content: { template_name: content.name, template_data: toHex(content.data) },
      }
    case 'ima_tlv':
      return {
        content_type: content.kind,
        content: content.fields.map((f) => ({ type: f.type, data: toHex(f.value) })),
      }
    case 'systemd': {
      const { eventType, timestamp, bootId, string } = content.event
      const json = {
        eventType: SYSTEMD_TYPES[eventType] ?? eventType,
        bootId: toHex(bootId),
        timestamp: integerJson(timestamp),
      }
      return { content_type: content.kind, content: string === undefined ? json : { ...json, string } }
    }
    case 'systemd_string':
      return { content_type: CEL_CONTENT.systemdString, content: toHex(content.bytes) }
    case 'cos':
      return {
        content_type: content.kind,
        content: { type: COS_TYPES[content.type] ?? content.type, data: toHex(content.value) },
      }
    case 'holdfast':
      parseLaunchLogContent(content.bytes) // its checks; the text itself is what is shown
      return { content_type: content.kind, content: JSON.parse(fromUtf8(content.bytes)) }
    case 'unknown':
      return { content_type: content.contentType, content: toHex(content.bytes) }
  }
}

function managementJson(event: CelManagement): JsonValue {
  switch (event.type) {
    case 'cel_version':
      return { type: event.type, data: { major: event.major, minor: event.minor } }
    case 'firmware_end':
      return { type: event.type }
    case 'cel_timestamp':
      return { type: event.type, data: integerJson(event.value) }
    case 'state_trans':
      return { type: event.type, data: STATE_TRANSITIONS[event.value] ?? event.value }
    case 'unknown':
      return { type: event.number, data: toHex(event.value) }
  }
}

/** Integers that every JSON reader keeps are numbers; longer ones are decimal text. */
function integerJson(value: bigint): JsonValue {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value)
}
