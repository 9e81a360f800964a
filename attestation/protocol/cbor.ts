import { type DecodeOptions, decode, encode, rfc8949EncodeOptions } from 'cborg'
import { equalBytes, messageOf } from '../base/index.ts'
import { BoundedTokenizer, EncodingError, STRICT_CBOR } from '../encoding/index.ts'
import { ProtocolError } from './errors.ts'

const LIMITS = {
  /** The deepest message is a map of arrays of maps. */
  maxDepth: 8,
  /**
   * A result with 256 findings has about 2,400 items; 8 MiB of one-byte items would cost 100 times their size in
   * memory.
   */
  maxItems: 8192,
}

const ENCODE_OPTIONS = { ...rfc8949EncodeOptions, ignoreUndefinedProperties: true }
const DECODE_OPTIONS: DecodeOptions = { ...STRICT_CBOR, allowBigInt: false }

/** Deterministic CBOR (RFC 8949 §4.2.1) of a plain value; members that are undefined are left out. */
export function encodeCbor(value: unknown): Uint8Array {
  return encode(value, ENCODE_OPTIONS)
}

/**
 * Decodes one CBOR item that is in the only encoding its value has: bytes that another encoder would have written
 * otherwise are refused, among them floats that are integers, unsorted or repeated keys, and text that is not UTF-8.
 *
 * @param bytes the whole item, nothing after it; the caller has bounded its length
 * @returns the value; byte strings are copies
 * @throws ProtocolError PROTOCOL_TOO_COMPLEX, PROTOCOL_NOT_CBOR, PROTOCOL_NOT_DETERMINISTIC
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) // of a Buffer, slice() would be a view
  let value: unknown
  try {
    value = decode(plain, { ...DECODE_OPTIONS, tokenizer: new BoundedTokenizer(plain, DECODE_OPTIONS, LIMITS) })
  } catch (cause) {
    const code = cause instanceof EncodingError ? 'PROTOCOL_TOO_COMPLEX' : 'PROTOCOL_NOT_CBOR'
    throw new ProtocolError(code, messageOf(cause), { cause })
  }
  if (!equalBytes(encodeCbor(value), plain)) {
    throw new ProtocolError(
      'PROTOCOL_NOT_DETERMINISTIC',
      'the message is not in deterministic CBOR form (sorted keys, shortest forms, no floats, UTF-8 text)',
    )
  }
  return value
}
