import { type DecodeOptions, decodeFirst, encode, rfc8949EncodeOptions, Token, Type } from 'cborg'
import { fromUtf8, messageOf } from '../base/index.ts'
import { BoundedTokenizer, STRICT_CBOR } from './bounded-tokenizer.ts'
import { EncodingError, type EncodingLimits } from './errors.ts'
import { isArray, isMap, kindOf, type Value } from './value.ts'

export interface CborOptions extends EncodingLimits {
  /** Tags that may stand in the item; any other is refused. */
  readonly tags?: readonly number[]
}

const DECODE_OPTIONS: DecodeOptions = { ...STRICT_CBOR, allowBigInt: true, useMaps: true, retainStringBytes: true }

/**
 * Tokens with text as strict UTF-8 with its byte order mark, which cborg would repair and drop; floats apart from
 * integers.
 */
class ExactTokenizer extends BoundedTokenizer {
  override next(): Token {
    const token = super.next()
    if (token.type === Type.float) return new Token(Type.float, { float: token.value }, token.encodedLength)
    if (token.type !== Type.string || token.byteValue === undefined) return token
    return new Token(Type.string, fromUtf8(token.byteValue), token.encodedLength)
  }
}

/**
 * One CBOR item of definite lengths with shortest heads. Order of keys is free: most formats do not ask for it.
 *
 * @returns the value; byte strings are copies
 * @throws EncodingError ENCODING_TOO_LONG, ENCODING_TOO_COMPLEX, ENCODING_NOT_CBOR, ENCODING_DUPLICATE_KEY
 */
export function decodeCborItem(bytes: Uint8Array, options: CborOptions): Value {
  const { value, end } = decodeCborFirst(bytes, options)
  if (end !== bytes.length) throw new EncodingError('ENCODING_NOT_CBOR', `${bytes.length - end} bytes after the item`)
  return value
}

/**
 * The first item of a CBOR sequence (RFC 8742), and where the next one starts.
 * @throws EncodingError as decodeCborItem
 */
export function decodeCborFirst(bytes: Uint8Array, options: CborOptions): { value: Value; end: number } {
  if (bytes.length > options.maxBytes) {
    throw new EncodingError('ENCODING_TOO_LONG', `${bytes.length} bytes, at most ${options.maxBytes} are read`)
  }
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) // of a Buffer, slice() would be a view
  try {
    const tokenizer = new ExactTokenizer(plain, DECODE_OPTIONS, options)
    const tags = Object.fromEntries((options.tags ?? []).map((tag) => [tag, taggedWith(tag)]))
    const [item, rest] = decodeFirst(plain, { ...DECODE_OPTIONS, tags, tokenizer })
    checkKeys(item)
    return { value: item, end: plain.length - rest.length }
  } catch (cause) {
    if (cause instanceof EncodingError) throw cause
    const message = messageOf(cause)
    const code = message.includes('repeat map key') ? 'ENCODING_DUPLICATE_KEY' : 'ENCODING_NOT_CBOR'
    throw new EncodingError(code, message, { cause })
  }
}

/** What is written: neither floats nor tags, which no format written here has. */
export type CborWritable =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly CborWritable[]
  | ReadonlyMap<string | number, CborWritable>

/** Deterministic CBOR (RFC 8949 §4.2.1) of a value. */
export function encodeCborItem(value: CborWritable): Uint8Array {
  return encode(value, rfc8949EncodeOptions)
}

function taggedWith(tag: number): (decode: () => unknown) => { tag: number; value: unknown } {
  return (decode) => ({ tag, value: decode() })
}

/** Keys that are text or integers, as every format read here has; keys of other kinds could be equal and still two. */
function checkKeys(value: Value): void {
  if (isMap(value)) {
    for (const [key, member] of value) {
      if (typeof key !== 'string' && typeof key !== 'number') {
        throw new EncodingError('ENCODING_NOT_CBOR', `${kindOf(key)} as the key of a map`)
      }
      checkKeys(member)
    }
  } else if (isArray(value)) {
    for (const entry of value) checkKeys(entry)
  } else if (typeof value === 'object' && value !== null && 'tag' in value) {
    checkKeys(value.value)
  }
}
