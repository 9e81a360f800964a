import { equalBytes, fromHex, messageOf, utf8 } from '../../base/index.ts'
import { digest, type HashAlgorithm, hashSize } from '../../crypto/index.ts'
import {
  asArray,
  asInteger,
  asMap,
  asText,
  EncodingError,
  optional,
  parseJson,
  type ValueMap,
} from '../../encoding/index.ts'
import { EventLogError } from '../errors.ts'
import type { EventDigests } from '../event.ts'
import { BANK_ORDER } from '../registers.ts'

/** Where systemd extended it: a PCR, or an NV index of type extend that stands in for one (NvPCR). */
export type MeasureLogRegister =
  | { readonly kind: 'pcr'; readonly index: number }
  | { readonly kind: 'nv'; readonly index: number; readonly name?: string }

/** One record of tpm2-measure.log, as claimed. */
export interface MeasureLogRecord {
  readonly index: number
  readonly offset: number
  readonly register: MeasureLogRegister
  /** Digests of the banks that are known here. */
  readonly digests: EventDigests
  /** What kind of thing was measured; absent in records of the first versions. */
  readonly eventType?: string
  /** What was measured; absent where it is a secret. */
  readonly string?: string
  readonly bootId?: string
  /** CLOCK_BOOTTIME, microseconds. */
  readonly timestampUs?: bigint
  /**
   * `string`: every digest is the hash of `string`. `secret`: there is no string; the digests are keyed with a secret
   * such as a volume key.
   * `other`: there is a string, and a digest is not its hash.
   */
  readonly measured: 'string' | 'secret' | 'other'
}

export interface MeasureLog {
  readonly records: readonly MeasureLogRecord[]
  /**
   * Bytes at the end that are no whole record: systemd was cut off while it wrote, after it had extended the register
   * or before.
   */
  readonly unfinishedBytes: number
}

const MAX_MEASURE_LOG_BYTES = 16 << 20
/** A record has some hundred bytes; measured user data of a cloud may have 64 KiB. */
const MAX_RECORD_BYTES = 1 << 20
const MAX_RECORDS = 65_536
const MAX_DIGESTS = 8
const RECORD_SEPARATOR = 0x1e
const LINE_FEED = 0x0a
const LIMITS = { maxBytes: MAX_RECORD_BYTES, maxDepth: 6, maxItems: 1000 } as const
const NAMES: ReadonlySet<string> = new Set(BANK_ORDER)

type Position = { readonly offset: number; readonly recnum: number }

/**
 * systemd's log of its own measurements: /run/log/systemd/tpm2-measure.log, an RFC 7464 sequence of JSON texts (U+001E,
 * JSON, line feed). Read, not believed. An unfinished record at the end is left out and counted; anywhere else it is an
 * error.
 *
 * @throws EventLogError EVENT_LOG_UNKNOWN_FORMAT, EVENT_LOG_TOO_LONG, EVENT_LOG_BAD_CONTENT, EVENT_LOG_BAD_DIGEST,
 * EVENT_LOG_DUPLICATE_DIGEST
 */
export function readMeasureLog(bytes: Uint8Array): MeasureLog {
  if (bytes.length > MAX_MEASURE_LOG_BYTES) {
    throw new EventLogError('EVENT_LOG_TOO_LONG', `${bytes.length} bytes, at most ${MAX_MEASURE_LOG_BYTES} are read`)
  }
  if (bytes.length > 0 && bytes[0] !== RECORD_SEPARATOR) {
    throw new EventLogError('EVENT_LOG_UNKNOWN_FORMAT', 'a tpm2-measure.log starts with U+001E')
  }
  const records: MeasureLogRecord[] = []
  for (let at = 0; at < bytes.length; ) {
    const next = bytes.indexOf(RECORD_SEPARATOR, at + 1)
    const end = next < 0 ? bytes.length : next
    const position = { offset: at, recnum: records.length }
    if (records.length === MAX_RECORDS) {
      throw new EventLogError('EVENT_LOG_TOO_LONG', `more than ${MAX_RECORDS} records`, { position })
    }
    // RFC 7464 §2.4: without the line feed a text may be cut, even where it still is JSON
    if (next < 0 && bytes[end - 1] !== LINE_FEED) return { records, unfinishedBytes: end - at }
    records.push(readRecord(bytes.subarray(at + 1, end), position))
    at = end
  }
  return { records, unfinishedBytes: 0 }
}

function readRecord(bytes: Uint8Array, position: Position): MeasureLogRecord {
  const fail = (problem: string) => new EventLogError('EVENT_LOG_BAD_CONTENT', problem, { position })
  let record: ValueMap
  try {
    record = asMap(parseJson(bytes, LIMITS), 'record', fail)
  } catch (cause) {
    if (cause instanceof EncodingError)
      throw new EventLogError('EVENT_LOG_BAD_CONTENT', messageOf(cause), { position, cause })
    throw cause
  }
  const type = asText(record.get('content_type'), 'content_type', 32, fail)
  if (type !== 'systemd') throw fail(`content_type ${JSON.stringify(type)}, expected "systemd"`)
  const content = asMap(record.get('content'), 'content', fail)
  const text = (name: string, max: number) => optional(content, name, (v) => asText(v, `content.${name}`, max, fail))
  const digests = readDigests(record, position)
  const string = text('string', MAX_RECORD_BYTES)
  const eventType = text('eventType', 64)
  const bootId = text('bootId', 64)
  const timestamp = optional(content, 'timestamp', (v) =>
    asInteger(v, 'content.timestamp', 0, Number.MAX_SAFE_INTEGER, fail),
  )
  return {
    index: position.recnum,
    offset: position.offset,
    register: readRegister(record, content, fail),
    digests,
    ...(eventType !== undefined && { eventType }),
    ...(string !== undefined && { string }),
    ...(bootId !== undefined && { bootId }),
    ...(timestamp !== undefined && { timestampUs: BigInt(timestamp) }),
    measured: measuredOf(string, digests),
  }
}

type Fail = (problem: string) => EventLogError

function readRegister(record: ValueMap, content: ValueMap, fail: Fail): MeasureLogRegister {
  const pcr = record.get('pcr')
  const nv = record.get('nv_index') ?? record.get('nvIndex')
  if ((pcr === undefined) === (nv === undefined)) throw fail('exactly one of pcr and nv_index must be there')
  if (pcr !== undefined) return { kind: 'pcr', index: asInteger(pcr, 'pcr', 0, 23, fail) }
  const name = optional(content, 'nvIndexName', (v) => asText(v, 'content.nvIndexName', 64, fail))
  return { kind: 'nv', index: asInteger(nv, 'nv_index', 0, 0xffffffff, fail), ...(name !== undefined && { name }) }
}

function readDigests(record: ValueMap, position: Position): EventDigests {
  const error = (problem: string) => new EventLogError('EVENT_LOG_BAD_DIGEST', problem, { position })
  const out: { [bank in HashAlgorithm]?: Uint8Array } = {}
  const seen = new Set<string>()
  const list = asArray(record.get('digests'), 'digests', MAX_DIGESTS, error)
  if (list.length === 0) throw error('no digest')
  for (const entry of list) {
    const digestMap = asMap(entry, 'digest', error)
    const name = asText(digestMap.get('hashAlg'), 'hashAlg', 32, error)
    if (seen.has(name)) throw new EventLogError('EVENT_LOG_DUPLICATE_DIGEST', `two digests of ${name}`, { position })
    seen.add(name)
    const bytes = hexBytes(asText(digestMap.get('digest'), 'digest', 256, error), error)
    if (!isBank(name)) continue // no bank of ours can be replayed with it
    if (bytes.length !== hashSize(name)) throw error(`a ${name} digest of ${bytes.length} bytes`)
    out[name] = bytes
  }
  return out
}

function measuredOf(string: string | undefined, digests: EventDigests): MeasureLogRecord['measured'] {
  if (string === undefined) return 'secret'
  const bytes = utf8(string)
  const banks = BANK_ORDER.filter((bank) => digests[bank] !== undefined)
  const all = banks.every((bank) => equalBytes(digest(bank, bytes), digests[bank] as Uint8Array)) // banks has those there are
  return banks.length > 0 && all ? 'string' : 'other'
}

function isBank(name: string): name is HashAlgorithm {
  return NAMES.has(name)
}

function hexBytes(text: string, error: Fail): Uint8Array {
  try {
    return fromHex(text)
  } catch {
    throw error(`${JSON.stringify(text.slice(0, 40))} is not hex`)
  }
}
