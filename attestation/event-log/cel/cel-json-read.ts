import { fromHex } from '../../base/index.ts'
import {
  asArray,
  asInteger,
  asMap,
  asText,
  EncodingError,
  isArray,
  parseJsonTexts,
  type Value,
  type ValueMap,
} from '../../encoding/index.ts'
import { EventLogError, type EventLogErrorCode } from '../errors.ts'
import { type CelDigest, type CelIndex, type CelRecord, celBank, INDEX_MAX, MAX_DIGESTS } from './cel.ts'
import { type CelJsonBytes, JsonContentReader } from './cel-json-content.ts'
import { DIGEST_ALGORITHMS } from './names.ts'
import { type CelNumbering, checkNumbering } from './numbering.ts'
import { encodeCelContent } from './typed-content.ts'

/** An IMA list of 100,000 entries takes about half of it as JSON. */
const LIMITS = { maxBytes: 64 << 20, maxDepth: 8, maxItems: 2 << 20, trailingCommas: true }
const MEMBERS = new Set(['recnum', 'pcr', 'nv_index', 'ccmr', 'digests', 'content_type', 'content'])

export interface CelJsonOptions {
  /** 'hex' unless told: some text is both. */
  readonly bytes?: CelJsonBytes
  /** 'log' unless told. */
  readonly numbering?: CelNumbering
}

/**
 * A CEL-JSON log: one array, one record, records on lines, or an RFC 7464 sequence; with json-c's trailing commas.
 * Names of types and algorithms can be numbers. Records that all lack a number, as systemd's, are numbered from 0;
 * records without digests are read, and nothing can be replayed with them.
 *
 * @throws EventLogError EVENT_LOG_NOT_JSON, EVENT_LOG_TOO_LONG, or of the record, with its place counted from 0
 */
export function decodeCelJson(bytes: Uint8Array, options: CelJsonOptions = {}): CelRecord[] {
  let texts: Value[]
  try {
    texts = parseJsonTexts(bytes, LIMITS)
  } catch (cause) {
    if (!(cause instanceof EncodingError)) throw cause
    const tooLong = cause.code === 'ENCODING_TOO_LONG' || cause.code === 'ENCODING_TOO_COMPLEX'
    throw new EventLogError(tooLong ? 'EVENT_LOG_TOO_LONG' : 'EVENT_LOG_NOT_JSON', cause.message, { cause })
  }
  const [first] = texts
  const values = texts.length === 1 && isArray(first) ? first : texts
  const numbered = values.some((value) => value instanceof Map && value.has('recnum'))
  const records = values.map((value, i) => celRecordFromJson(value, i, { ...options, numbered }))
  checkNumbering(records, options.numbering ?? 'log')
  return records
}

/**
 * One record of a JSON log.
 *
 * @param place position in the log from 0; the record's number where `numbered` is false
 * @throws EventLogError EVENT_LOG_BAD_RECORD, EVENT_LOG_BAD_NUMBER, EVENT_LOG_BAD_DIGEST, EVENT_LOG_DUPLICATE_DIGEST,
 *   EVENT_LOG_BAD_CONTENT, or of launch-log content
 */
export function celRecordFromJson(
  value: Value,
  place: number,
  options: CelJsonOptions & { readonly numbered?: boolean } = {},
): CelRecord {
  const fail = (code: EventLogErrorCode) => (problem: string) =>
    new EventLogError(code, `JSON record ${place}: ${problem}`)
  const record = asMap(value, 'record', fail('EVENT_LOG_BAD_RECORD'))
  for (const key of record.keys()) {
    if (!MEMBERS.has(String(key))) throw fail('EVENT_LOG_BAD_RECORD')(`member ${JSON.stringify(key)} is not known`)
  }
  const number = fail('EVENT_LOG_BAD_NUMBER')
  const recnum =
    options.numbered === false ? place : asInteger(record.get('recnum'), 'recnum', 0, Number.MAX_SAFE_INTEGER, number)
  const index = readIndex(record, fail)
  const digests = readDigests(record.get('digests'), fail)
  const reader = new JsonContentReader(fail('EVENT_LOG_BAD_CONTENT'), options.bytes ?? 'hex')
  const content = encodeCelContent(reader.content(record.get('content_type'), record.get('content')))
  return { recnum, index, digests, ...content, rebuilt: true }
}

type FailWith = (code: EventLogErrorCode) => (problem: string) => EventLogError

function readIndex(record: ValueMap, fail: FailWith): CelIndex {
  const kinds = { pcr: 'pcr', nv_index: 'nv', ccmr: 'ccmr' } as const
  const given = (['pcr', 'nv_index', 'ccmr'] as const).filter((name) => record.has(name))
  const [name] = given
  if (name === undefined || given.length > 1) {
    throw fail('EVENT_LOG_BAD_RECORD')('exactly one of pcr, nv_index and ccmr must be there')
  }
  const kind = kinds[name]
  return { kind, value: asInteger(record.get(name), name, 0, INDEX_MAX[kind], fail('EVENT_LOG_BAD_NUMBER')) }
}

function readDigests(value: Value | undefined, fail: FailWith): CelDigest[] {
  if (value === undefined) return []
  const bad = fail('EVENT_LOG_BAD_DIGEST')
  const digests: CelDigest[] = []
  for (const entry of asArray(value, 'digests', MAX_DIGESTS, bad)) {
    const map = asMap(entry, 'digest', bad)
    const { alg, name, size } = algorithm(map.get('hashAlg'), bad)
    const hex = asText(map.get('digest'), 'digest', 2 * size, bad)
    if (hex.length !== 2 * size || !/^[0-9a-fA-F]*$/.test(hex)) {
      throw bad(`digest: ${name} has ${2 * size} hexadecimal digits`)
    }
    if (digests.some((d) => d.alg === alg)) throw fail('EVENT_LOG_DUPLICATE_DIGEST')(`two digests of ${name}`)
    const bank = celBank(alg)
    digests.push({ alg, ...(bank !== undefined && { bank }), bytes: fromHex(hex) })
  }
  return digests
}

function algorithm(value: Value | undefined, bad: (problem: string) => Error) {
  for (const [alg, known] of DIGEST_ALGORITHMS) {
    if (value === alg || (typeof value === 'string' && value.toLowerCase() === known.name)) return { alg, ...known }
  }
  throw bad(`hashAlg: ${typeof value === 'string' || typeof value === 'number' ? value : 'nothing'} is not known`)
}
