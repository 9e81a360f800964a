import { CodedError } from '../base/index.ts'

/**
 * EVENT_LOG_TRUNCATED: the bytes end inside a record.
 * EVENT_LOG_TOO_LONG: a field says it is longer than anything of its kind.
 * EVENT_LOG_BAD_ORDER: another field stands where recnum, index, digests or content must be.
 * EVENT_LOG_BAD_NUMBER: an integer of 0 or more than 8 bytes, or outside its field's range.
 * EVENT_LOG_BAD_DIGEST: no digest, too many, or one of another length than its algorithm's.
 * EVENT_LOG_DUPLICATE_DIGEST: two digests of one bank; a reader would have to choose.
 * EVENT_LOG_BAD_RECNUM: record numbers do not rise by one.
 * EVENT_LOG_BAD_CONTENT: the content is not what its type says.
 * EVENT_LOG_NOT_JSON, EVENT_LOG_NOT_CBOR: a log that begins as one of these is not; also a member or key that stands
 * twice.
 * EVENT_LOG_BAD_RECORD: a JSON or CBOR record lacks a field, or has one that records do not have.
 * EVENT_LOG_NOT_CANONICAL: launch-log content that is not the RFC 8785 form of what it says, or CBOR that is not the
 * deterministic
 *   form (RFC 8949 §4.2.1).
 * EVENT_LOG_UNKNOWN_VERSION: launch-log content of a version that this program does not know.
 * EVENT_LOG_WRONG_REGISTER: the record is of another register than the one replayed.
 * EVENT_LOG_WRONG_BANKS: the record's digests are not of exactly the banks replayed; a bank left alone could be forged.
 * EVENT_LOG_UNKNOWN_FORMAT: the bytes are no log of the format that they should be, or of a form of it that is not read
 * here.
 * EVENT_LOG_DIGEST_MISMATCH: the content's digest is not the one recorded, so the content is not what was measured.
 */
export type EventLogErrorCode =
  | 'EVENT_LOG_TRUNCATED'
  | 'EVENT_LOG_TOO_LONG'
  | 'EVENT_LOG_BAD_ORDER'
  | 'EVENT_LOG_BAD_NUMBER'
  | 'EVENT_LOG_BAD_DIGEST'
  | 'EVENT_LOG_DUPLICATE_DIGEST'
  | 'EVENT_LOG_BAD_RECNUM'
  | 'EVENT_LOG_BAD_CONTENT'
  | 'EVENT_LOG_NOT_JSON'
  | 'EVENT_LOG_NOT_CBOR'
  | 'EVENT_LOG_BAD_RECORD'
  | 'EVENT_LOG_NOT_CANONICAL'
  | 'EVENT_LOG_UNKNOWN_VERSION'
  | 'EVENT_LOG_WRONG_REGISTER'
  | 'EVENT_LOG_WRONG_BANKS'
  | 'EVENT_LOG_UNKNOWN_FORMAT'
  | 'EVENT_LOG_DIGEST_MISMATCH'

/**
 * Where in a log: `offset` is that of the record's first byte in the whole log, `recnum` its number where it could be
 * read.
 */
export interface LogPosition {
  readonly offset: number
  readonly recnum?: number
}

export class EventLogError extends CodedError<EventLogErrorCode> {
  readonly position: LogPosition | undefined
  constructor(
    code: EventLogErrorCode,
    message: string,
    options: { readonly position?: LogPosition; readonly cause?: unknown } = {},
  ) {
    const { position, ...rest } = options
    const record = position?.recnum === undefined ? 'record' : `record ${position.recnum}`
    super(code, position === undefined ? message : `${record} at offset ${position.offset}: ${message}`, rest)
    this.position = position
  }
}
