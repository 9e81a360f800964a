import { type DecodeOptions, decode, encode, rfc8949EncodeOptions, type Token, Tokenizer, Type } from 'cborg'
import { equalBytes, messageOf } from '../base/index.ts'
import { ProtocolError } from './errors.ts'

/** The deepest message is a map of arrays of maps; the decoder recurses, so depth is bounded before it can hurt. */
const MAX_DEPTH = 8
/** A result with 256 findings has about 2,400 items; 8 MiB of one-byte items would cost 100 times their size in memory. */
const MAX_ITEMS = 8192

const ENCODE_OPTIONS = { ...rfc8949EncodeOptions, ignoreUndefinedProperties: true }
const DECODE_OPTIONS: DecodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
}

/** Tokens of one CBOR item, counted while they are read. */
class BoundedTokenizer extends Tokenizer {
  readonly #open: number[] = [] // items still to come in each open array or map, outermost first
  #items = 0

  override next(): Token {
    const token = super.next()
    this.#items++
    if (this.#items > MAX_ITEMS) {
      throw new ProtocolError('PROTOCOL_TOO_COMPLEX', `more than ${MAX_ITEMS} CBOR items in one message`)
    }
    const children = token.type === Type.map ? 2 * token.value : token.type === Type.array ? token.value : 0
    if (children > 0) {
      this.#open.push(children)
      if (this.#open.length > MAX_DEPTH) {
        throw new ProtocolError('PROTOCOL_TOO_COMPLEX', `CBOR nested deeper than ${MAX_DEPTH}`)
      }
      return token
    }
    for (let left = this.#open.pop(); left !== undefined; left = this.#open.pop()) {
      if (left > 1) {
        this.#open.push(left - 1)
        break
      }
    }
    return token
  }
}

/** Deterministic CBOR (RFC 8949 §4.2.1) of a plain value; members that are undefined are left out. */
export function encodeCbor(value: unknown): Uint8Array {
  return encode(value, ENCODE_OPTIONS)
}

/**
 * Decodes one CBOR item that is in the only encoding its value has: bytes that another encoder would have written otherwise
 * are refused, among them floats that are integers, unsorted or repeated keys, and text that is not UTF-8.
 *
 * @param bytes the whole item, nothing after it; the caller has bounded its length
 * @returns the value; byte strings are copies
 * @throws ProtocolError PROTOCOL_TOO_COMPLEX, PROTOCOL_NOT_CBOR, PROTOCOL_NOT_DETERMINISTIC
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) // of a Buffer, slice() would be a view
  let value: unknown
  try {
    value = decode(plain, { ...DECODE_OPTIONS, tokenizer: new BoundedTokenizer(plain, DECODE_OPTIONS) })
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    throw new ProtocolError('PROTOCOL_NOT_CBOR', messageOf(cause), { cause })
  }
  if (!equalBytes(encodeCbor(value), plain)) {
    throw new ProtocolError(
      'PROTOCOL_NOT_DETERMINISTIC',
      'the message is not in deterministic CBOR form (sorted keys, shortest forms, no floats, UTF-8 text)',
    )
  }
  return value
}
