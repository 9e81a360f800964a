import { EventLogError } from '../errors.ts'
import { type CelRecord, decodeCelRecord } from './cel.ts'
import { decodeCelCbor } from './cel-cbor.ts'
import { type CelJsonOptions, decodeCelJson } from './cel-json-read.ts'
import { checkNumbering } from './numbering.ts'

export type CelEncoding = 'tlv' | 'json' | 'cbor'

/** A log and the encoding that it was found in. */
export interface CelLog {
  readonly encoding: CelEncoding
  readonly records: readonly CelRecord[]
}

/** As many records as a list of IMA can bring in one log. */
const MAX_RECORDS = 1 << 20

/**
 * A canonical event log in whichever encoding its first byte shows: TLV begins with a record number, type 0; JSON with
 * an object, an array or U+001E; CBOR with an array or a map. The empty log is TLV.
 *
 * @param options how the writer departs from CEL 1.0, where it does
 * @throws EventLogError EVENT_LOG_BAD_ORDER when it begins as none of them, or of the encoding's reader
 */
export function decodeCelAny(bytes: Uint8Array, options: CelJsonOptions = {}): CelLog {
  const encoding = celEncoding(bytes)
  switch (encoding) {
    case 'tlv':
      return { encoding, records: decodeTlv(bytes, options) }
    case 'json':
      return { encoding, records: decodeCelJson(bytes, options) }
    case 'cbor':
      return { encoding, records: decodeCelCbor(bytes, options.numbering) }
    case undefined:
      throw new EventLogError('EVENT_LOG_BAD_ORDER', `no event log begins with byte 0x${bytes[0]?.toString(16)}`)
  }
}

/** @returns the encoding that the first byte of a log is of; undefined for none that is known here */
export function celEncoding(bytes: Uint8Array): CelEncoding | undefined {
  const first = bytes.find((b) => b !== 0x20 && b !== 0x09 && b !== 0x0a && b !== 0x0d)
  if (bytes.length === 0 || bytes[0] === 0) return 'tlv'
  if (first === 0x7b || first === 0x5b || first === 0x1e) return 'json'
  const major = (bytes[0] ?? 0) >> 5
  return major === 4 || major === 5 ? 'cbor' : undefined
}

function decodeTlv(bytes: Uint8Array, { numbering = 'log' }: CelJsonOptions): CelRecord[] {
  const records: CelRecord[] = []
  for (let at = 0; at < bytes.length; ) {
    if (records.length === MAX_RECORDS)
      throw new EventLogError('EVENT_LOG_TOO_LONG', `more than ${MAX_RECORDS} records`)
    const { record, end } = decodeCelRecord(bytes, at)
    records.push(record)
    at = end
  }
  checkNumbering(records, numbering)
  return records
}
