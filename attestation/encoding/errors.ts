import { CodedError } from '../base/index.ts'

/**
 * ENCODING_TOO_LONG: more bytes than the caller reads.
 * ENCODING_TOO_COMPLEX: nested deeper, or more values, than the caller reads.
 * ENCODING_NOT_JSON: the text is not JSON, or not UTF-8.
 * ENCODING_NOT_CBOR: the bytes are not one definite-length CBOR item with shortest heads, or hold a kind of value that
 * is not read.
 * ENCODING_DUPLICATE_KEY: a member twice; two readers would see different values.
 */
export type EncodingErrorCode =
  | 'ENCODING_TOO_LONG'
  | 'ENCODING_TOO_COMPLEX'
  | 'ENCODING_NOT_JSON'
  | 'ENCODING_NOT_CBOR'
  | 'ENCODING_DUPLICATE_KEY'

export class EncodingError extends CodedError<EncodingErrorCode> {}

/** What a reader takes before it gives up; compared before anything of that size is allocated. */
export interface EncodingLimits {
  readonly maxBytes: number
  readonly maxDepth: number
  /** Values of any kind, keys not counted in JSON. */
  readonly maxItems: number
}
