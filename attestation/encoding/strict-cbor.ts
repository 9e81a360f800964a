import { type DecodeOptions, decodeFirst, encode, rfc8949EncodeOptions, Token, Tokenizer, Type } from 'cborg'
import { fromUtf8, messageOf } from '../base/index.ts'
import { EncodingError, type EncodingLimits } from './errors.ts'
import { isArray, isMap, kindOf, type Value } from './value.ts'

export interface CborOptions extends EncodingLimits {
  /** Tags that may stand in the item; any other is refused. */
  readonly tags?: readonly number[]
}

const DECODE_OPTIONS: DecodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: true,
  useMaps: true,
  rejectDuplicateMapKeys: true,
  retainStringBytes: true,
}

/** Tokens of CBOR items, counted and bounded while they are read; floats stay apart from integers. */
class BoundedTokenizer extends Tokenizer {
  readonly #limits: EncodingLimits
  readonly #open: number[] = [] // items still to come in each open array, map or tag, outermost first
  #items = 0

  constructor(bytes: Uint8Array, options: DecodeOptions, limits: EncodingLimits) {
    super(bytes, options)
    this.#limits = limits
  }

  override next(): Token {
    const token = super.next()
    const { maxItems, maxDepth } = this.#limits
    if (++this.#items > maxItems) throw new EncodingError('ENCODING_TOO_COMPLEX', `more than ${maxItems} CBOR items`)
    const children = childrenOf(token)
    if (children > maxItems) {
      throw new EncodingError(
        'ENCODING_TOO_COMPLEX',
        `a CBOR item with ${children} items, at most ${maxItems} are read`,
      )
    }
    if (children > 0) {
      this.#open.push(children)
      if (this.#open.length > maxDepth) {
        throw new EncodingError('ENCODING_TOO_COMPLEX', `CBOR nested deeper than ${maxDepth}`)
      }
      return token
    }
    for (let left = this.#open.pop(); left !== undefined; left = this.#open.pop()) {
      if (left > 1) {
        this.#open.push(left - 1)
        break
      }
    }
    return exact(token)
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
    const tokenizer = new BoundedTokenizer(plain, DECODE_OPTIONS, options)
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

/** Text as strict UTF-8 with its byte order mark, which cborg would repair and drop; floats apart from integers. */
function exact(token: Token): Token {
  if (token.type === Type.float) return new Token(Type.float, { float: token.value }, token.encodedLength)
  if (token.type !== Type.string || token.byteValue === undefined) return token
  return new Token(Type.string, fromUtf8(token.byteValue), token.encodedLength)
}

function childrenOf({ type, value }: Token): number {
  if (type === Type.map) return 2 * value
  if (type === Type.array) return value
  return type === Type.tag ? 1 : 0
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
