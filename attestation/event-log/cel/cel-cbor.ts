import { concatBytes, equalBytes, utf8 } from '../../base/index.ts'
import {
  asArray,
  asBytes,
  asInteger,
  asMap,
  asText,
  asU64,
  type CborWritable,
  decodeCborFirst,
  EncodingError,
  encodeCborItem,
  isArray,
  type Value,
  type ValueMap,
} from '../../encoding/index.ts'
import { EventLogError, type EventLogErrorCode } from '../errors.ts'
import {
  CEL_CONTENT,
  type CelDigest,
  type CelIndex,
  type CelRecord,
  celBank,
  INDEX_MAX,
  INDEX_TYPES,
  MAX_CONTENT_BYTES,
  MAX_DIGEST_BYTES,
  MAX_DIGESTS,
  T_DIGESTS,
  T_RECNUM,
} from './cel.ts'
import { DIGEST_ALGORITHMS } from './names.ts'
import { type CelNumbering, checkNumbering } from './numbering.ts'
import {
  type CelContent,
  type CelManagement,
  decodeCelContent,
  encodeCelContent,
  MAX_TEMPLATE_NAME,
} from './typed-content.ts'

const LIMITS = { maxBytes: 64 << 20, maxDepth: 8, maxItems: 2 << 20 }
const INDEX_KINDS = ['pcr', 'nv', 'ccmr'] as const

/**
 * A log as CEL-CBOR: an array of maps whose keys are the types of the TLV encoding, in deterministic CBOR. Data that
 * TLV nests are maps with the nested types as keys; no other public writer exists to agree with.
 *
 * @throws EventLogError for content that has not the form of its type
 */
export function encodeCelCbor(records: readonly CelRecord[]): Uint8Array {
  return encodeCborItem(records.map(recordCbor))
}

/**
 * A CEL-CBOR log: an array of records, or a sequence of them (RFC 8742).
 * @throws EventLogError EVENT_LOG_NOT_CBOR, EVENT_LOG_NOT_CANONICAL, EVENT_LOG_TOO_LONG, or of the record
 */
export function decodeCelCbor(bytes: Uint8Array, numbering: CelNumbering = 'log'): CelRecord[] {
  const items = decodeItems(bytes)
  const [first] = items
  const values = items.length === 1 && isArray(first) ? first : items
  const records = values.map(readRecord)
  // floats and tags are in no record, so what was read is writable
  if (!equalBytes(concatBytes(...items.map((item) => encodeCborItem(item as CborWritable))), bytes)) {
    throw new EventLogError('EVENT_LOG_NOT_CANONICAL', 'the log is not in deterministic CBOR form')
  }
  checkNumbering(records, numbering)
  return records
}

function decodeItems(bytes: Uint8Array): Value[] {
  const items: Value[] = []
  try {
    for (let at = 0; at < bytes.length; ) {
      const { value, end } = decodeCborFirst(bytes.subarray(at), {
        ...LIMITS,
        maxItems: LIMITS.maxItems - items.length,
      })
      items.push(value)
      at += end
    }
  } catch (cause) {
    if (!(cause instanceof EncodingError)) throw cause
    const tooLong = cause.code === 'ENCODING_TOO_LONG' || cause.code === 'ENCODING_TOO_COMPLEX'
    throw new EventLogError(tooLong ? 'EVENT_LOG_TOO_LONG' : 'EVENT_LOG_NOT_CBOR', cause.message, { cause })
  }
  return items
}

function recordCbor(record: CelRecord): CborWritable {
  const content = decodeCelContent(record)
  return new Map<number, CborWritable>([
    [T_RECNUM, record.recnum],
    [INDEX_TYPES[record.index.kind], record.index.value],
    [T_DIGESTS, new Map(record.digests.map((d) => [d.alg, d.bytes]))],
    [record.contentType, contentCbor(content)],
  ])
}

function contentCbor(content: CelContent): CborWritable {
  switch (content.kind) {
    case 'mgmt': {
      const events = content.events.map(managementCbor)
      return events.length === 1 ? (events[0] ?? null) : events
    }
    case 'pcclient_std':
      return new Map<number, CborWritable>([
        [0, content.claimedEventType],
        [1, content.eventData],
      ])
    case 'ima_template':
      return new Map<number, CborWritable>([
        [0, content.name],
        [1, content.data],
      ])
    case 'ima_tlv':
      return new Map(content.fields.map((f) => [f.type, f.value]))
    case 'systemd': {
      const { eventType, timestamp, bootId, string } = content.event
      const fields: [number, CborWritable][] = [
        [0, eventType],
        [1, timestamp],
        [2, bootId],
      ]
      return new Map(string === undefined ? fields : [...fields, [3, string]])
    }
    case 'cos':
      return new Map([[content.type, content.value]])
    default:
      return content.bytes
  }
}

function managementCbor(event: CelManagement): CborWritable {
  switch (event.type) {
    case 'cel_version':
      return new Map([
        [
          1,
          new Map([
            [0, event.major],
            [1, event.minor],
          ]),
        ],
      ])
    case 'firmware_end':
      return new Map([[2, null]])
    case 'cel_timestamp':
      return new Map([[80, event.value]])
    case 'state_trans':
      return new Map([[81, event.value]])
    case 'unknown':
      return new Map([[event.number, event.value]])
  }
}

function readRecord(value: Value, place: number): CelRecord {
  const fail = (code: EventLogErrorCode) => (problem: string) =>
    new EventLogError(code, `CBOR record ${place}: ${problem}`)
  const record = asMap(value, 'record', fail('EVENT_LOG_BAD_RECORD'))
  const recnum = asInteger(record.get(T_RECNUM), 'recnum', 0, Number.MAX_SAFE_INTEGER, fail('EVENT_LOG_BAD_NUMBER'))
  const index = readIndex(record, fail)
  const digests = readDigests(record.get(T_DIGESTS), fail)
  const contents = [...record.keys()].filter((key) => !isField(key))
  const [contentType] = contents
  if (typeof contentType !== 'number' || contents.length > 1 || contentType < 0 || contentType > 255) {
    throw fail('EVENT_LOG_BAD_RECORD')('exactly one content of type 4 to 255 must be there')
  }
  const content = new CborContentReader(fail('EVENT_LOG_BAD_CONTENT')).read(contentType, record.get(contentType))
  return { recnum, index, digests, ...encodeCelContent(content), rebuilt: true }
}

function isField(key: string | number): boolean {
  return key === T_RECNUM || key === T_DIGESTS || INDEX_KINDS.some((kind) => INDEX_TYPES[kind] === key)
}

type FailWith = (code: EventLogErrorCode) => (problem: string) => EventLogError

function readIndex(record: ValueMap, fail: FailWith): CelIndex {
  const given = INDEX_KINDS.filter((kind) => record.has(INDEX_TYPES[kind]))
  const [kind] = given
  if (kind === undefined || given.length > 1) {
    throw fail('EVENT_LOG_BAD_RECORD')('exactly one of pcr, nv_index and ccmr must be there')
  }
  const value = record.get(INDEX_TYPES[kind])
  return { kind, value: asInteger(value, kind, 0, INDEX_MAX[kind], fail('EVENT_LOG_BAD_NUMBER')) }
}

function readDigests(value: Value | undefined, fail: FailWith): CelDigest[] {
  const bad = fail('EVENT_LOG_BAD_DIGEST')
  const map = asMap(value, 'digests', bad)
  if (map.size > MAX_DIGESTS) throw bad(`${map.size} digests, at most ${MAX_DIGESTS} are read`)
  return [...map].map(([alg, digest]): CelDigest => {
    if (typeof alg !== 'number' || alg < 0 || alg > 255) throw bad(`${alg} is no algorithm`)
    const size = DIGEST_ALGORITHMS.get(alg)?.size
    const bytes = asBytes(digest, `digest of algorithm ${alg}`, size ?? 1, size ?? MAX_DIGEST_BYTES, bad)
    const bank = celBank(alg)
    return { alg, ...(bank !== undefined && { bank }), bytes }
  })
}

/** Reads the content of one record; every refusal is `fail`'s. */
class CborContentReader {
  readonly #fail: (problem: string) => EventLogError

  constructor(fail: (problem: string) => EventLogError) {
    this.#fail = fail
  }

  read(contentType: number, value: Value | undefined): CelContent {
    switch (contentType) {
      case CEL_CONTENT.mgmt: {
        const events = isArray(value) ? asArray(value, 'content', 16, this.#fail) : [value]
        if (events.length === 0 || (isArray(value) && events.length === 1)) {
          throw this.#fail('content: events of one record are a list from two on')
        }
        return { kind: 'mgmt', events: events.map((event) => this.#management(event)) }
      }
      case CEL_CONTENT.pcclientStd: {
        const map = this.#map(value, [0, 1], 2)
        const claimedEventType = asInteger(map.get(0), 'event_type', 0, 0xffffffff, this.#fail)
        return { kind: 'pcclient_std', claimedEventType, eventData: this.#bytes(map.get(1), 'event_data') }
      }
      case CEL_CONTENT.imaTemplate: {
        const map = this.#map(value, [0, 1], 2)
        const name = asText(map.get(0), 'template_name', MAX_TEMPLATE_NAME, this.#fail)
        if (name === '' || utf8(name).length > MAX_TEMPLATE_NAME) throw this.#fail('template_name: too long, or empty')
        return { kind: 'ima_template', name, data: this.#bytes(map.get(1), 'template_data') }
      }
      case CEL_CONTENT.imaTlv: {
        const fields = [...asMap(value, 'content', this.#fail)].map(([type, v]) => {
          return { type: this.#octet(type), value: this.#bytes(v, 'field') }
        })
        return { kind: 'ima_tlv', fields }
      }
      case CEL_CONTENT.systemd:
        return this.#systemd(value)
      case CEL_CONTENT.systemdString:
        return { kind: 'systemd_string', bytes: this.#bytes(value, 'content') }
      case CEL_CONTENT.cos: {
        const [entry, ...more] = [...asMap(value, 'content', this.#fail)]
        if (entry === undefined || more.length > 0) throw this.#fail('content: exactly one event must be there')
        return { kind: 'cos', type: this.#octet(entry[0]), value: this.#bytes(entry[1], 'event') }
      }
      case CEL_CONTENT.holdfast:
        return { kind: 'holdfast', bytes: this.#bytes(value, 'content') }
      default:
        return { kind: 'unknown', contentType, bytes: this.#bytes(value, 'content') }
    }
  }

  #management(value: Value | undefined): CelManagement {
    const [entry, ...more] = [...asMap(value, 'event', this.#fail)]
    if (entry === undefined || more.length > 0) throw this.#fail('event: exactly one must be in a map')
    const [type, data] = entry
    switch (type) {
      case 1: {
        const map = this.#map(data, [0, 1], 2)
        const major = asInteger(map.get(0), 'major', 0, 0xffff, this.#fail)
        return { type: 'cel_version', major, minor: asInteger(map.get(1), 'minor', 0, 0xffff, this.#fail) }
      }
      case 2:
        if (data !== null) throw this.#fail('firmware_end has no data')
        return { type: 'firmware_end' }
      case 80:
      case 128:
        return { type: 'cel_timestamp', value: asU64(data, 'cel_timestamp', this.#fail) }
      case 81:
      case 129:
        return { type: 'state_trans', value: asInteger(data, 'state_trans', 0, 0xffffffff, this.#fail) }
      default:
        return { type: 'unknown', number: this.#octet(type), value: this.#bytes(data, 'event') }
    }
  }

  #systemd(value: Value | undefined): CelContent {
    const map = this.#map(value, [0, 1, 2, 3], 3)
    const event = {
      eventType: asInteger(map.get(0), 'event type', 0, 255, this.#fail),
      timestamp: asU64(map.get(1), 'timestamp', this.#fail),
      bootId: asBytes(map.get(2), 'boot id', 16, 16, this.#fail),
    }
    const string = map.get(3)
    if (string === undefined) return { kind: 'systemd', event }
    return { kind: 'systemd', event: { ...event, string: asText(string, 'string', MAX_CONTENT_BYTES, this.#fail) } }
  }

  #map(value: Value | undefined, keys: readonly number[], least: number): ValueMap {
    const map = asMap(value, 'content', this.#fail)
    for (const key of map.keys()) {
      if (typeof key !== 'number' || !keys.includes(key)) throw this.#fail(`content: key ${key} is not known`)
    }
    if (map.size < least) throw this.#fail(`content: ${map.size} fields, at least ${least} must be there`)
    return map
  }

  #octet(key: string | number): number {
    if (typeof key !== 'number' || key < 0 || key > 255) throw this.#fail(`content: key ${key} is no type`)
    return key
  }

  #bytes(value: Value | undefined, what: string): Uint8Array {
    return asBytes(value, what, 0, MAX_CONTENT_BYTES, this.#fail)
  }
}
