import { EndorsementError } from './errors.ts'

/** Identifier octets of the ASN.1 types that X.509 uses (X.690 §8.1.2); high tag numbers do not occur in it. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const

/** Identifier octet of a constructed context-specific tag, as in `[3] EXPLICIT`. */
export const contextTag = (n: number): number => 0xa0 | n
/** Identifier octet of a primitive context-specific tag, as in `[0] IMPLICIT OCTET STRING`. */
export const contextTagPrimitive = (n: number): number => 0x80 | n

/** Longest OBJECT IDENTIFIER that is read; the longest in use (UUID based) has 20 bytes. */
const MAX_OID_BYTES = 64

/** One tag-length-value. Both arrays are views into the input, so a signature is checked over the received bytes. */
export interface DerElement {
  readonly tag: number
  /** identifier, length and content */
  readonly bytes: Uint8Array
  readonly content: Uint8Array
}

/**
 * Reads the elements of one constructed value in order. Lenient where real TPM vendors' certificates are not DER: order
 * of SET members, longer length forms than needed, booleans other than FF. Bounds are not lenient: a length is
 * compared with what remains before it is used. Nothing recurses: depth is the depth of the code that reads.
 *
 * node-forge's parser was weighed and not taken: it gives no offsets into its input, so signed bytes would have to be
 * re-encoded.
 */
export class DerReader {
  readonly #bytes: Uint8Array
  readonly #what: string
  #at = 0

  /** @param what the ASN.1 name of the value, for messages */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#what = what
  }

  /** Bytes consumed so far. */
  get offset(): number {
    return this.#at
  }

  get done(): boolean {
    return this.#at === this.#bytes.length
  }

  /** Next element of any type. @throws EndorsementError CERT_MALFORMED */
  read(field: string): DerElement {
    const start = this.#at
    const tag = this.#octet(field)
    if ((tag & 0x1f) === 0x1f) throw this.#bad(field, start, 'has a high tag number, which X.509 does not use')
    let length = this.#octet(field)
    if (length === 0x80) throw this.#bad(field, start, 'has an indefinite length')
    if (length > 0x80) {
      const octets = length & 0x7f
      if (octets > 4) throw this.#bad(field, start, `has a length of ${octets} octets, at most 4 are read`)
      length = 0
      for (let i = 0; i < octets; i++) length = length * 256 + this.#octet(field) // no shift: 2^31 and up stay positive
    }
    const rest = this.#bytes.length - this.#at
    if (length > rest) throw this.#bad(field, start, `says ${length} bytes, ${rest} remain`)
    const contentStart = this.#at
    this.#at += length
    return {
      tag,
      bytes: this.#bytes.subarray(start, this.#at),
      content: this.#bytes.subarray(contentStart, this.#at),
    }
  }

  /** Next element, which must have this tag. @throws EndorsementError CERT_MALFORMED */
  expect(field: string, tag: number): DerElement {
    const start = this.#at
    const element = this.read(field)
    if (element.tag !== tag) throw this.#bad(field, start, `has tag ${hexTag(element.tag)}, wanted ${hexTag(tag)}`)
    return element
  }

  /**
   * Next element if it has this tag, else undefined and nothing is consumed. @throws EndorsementError CERT_MALFORMED
   */
  optional(field: string, tag: number): DerElement | undefined {
    return this.#bytes[this.#at] === tag ? this.read(field) : undefined
  }

  /** Next element, a SEQUENCE, as a reader over its content. @throws EndorsementError CERT_MALFORMED */
  sequence(field: string): DerReader {
    return new DerReader(this.expect(field, TAG.sequence).content, `${this.#what}.${field}`)
  }

  /** @throws EndorsementError CERT_MALFORMED when anything is left */
  end(): void {
    if (!this.done) throw this.#bad('end', this.#at, `has ${this.#bytes.length - this.#at} bytes too many`)
  }

  #octet(field: string): number {
    const b = this.#bytes[this.#at]
    if (b === undefined) throw this.#bad(field, this.#at, 'is missing or cut off')
    this.#at++
    return b
  }

  #bad(field: string, offset: number, what: string): EndorsementError {
    return new EndorsementError('CERT_MALFORMED', `${this.#what}.${field} at offset ${offset} ${what}`)
  }
}

/** Dotted text of an OBJECT IDENTIFIER's content. @throws EndorsementError CERT_MALFORMED */
export function oidText(content: Uint8Array): string {
  const last = content[content.length - 1]
  if (last === undefined || content.length > MAX_OID_BYTES || (last & 0x80) !== 0) {
    throw new EndorsementError(
      'CERT_MALFORMED',
      `OBJECT IDENTIFIER of ${content.length} bytes is empty, too long or cut off`,
    )
  }
  const arcs: bigint[] = []
  let arc = 0n
  for (const b of content) {
    arc = (arc << 7n) | BigInt(b & 0x7f)
    if ((b & 0x80) !== 0) continue
    if (arcs.length === 0) {
      const first = arc < 80n ? arc / 40n : 2n // X.690 §8.19.4: the first two arcs share one number
      arcs.push(first, arc - first * 40n)
    } else arcs.push(arc)
    arc = 0n
  }
  return arcs.join('.')
}

/** Content of a BIT STRING without its count of unused bits. @throws EndorsementError CERT_MALFORMED */
export function bitStringBytes(
  content: Uint8Array,
  what: string,
): { readonly unusedBits: number; readonly bytes: Uint8Array } {
  const unusedBits = content[0]
  if (unusedBits === undefined || unusedBits > 7 || (content.length === 1 && unusedBits !== 0)) {
    throw new EndorsementError('CERT_MALFORMED', `${what} is not a BIT STRING`)
  }
  return { unusedBits, bytes: content.subarray(1) }
}

/** Octets of a BIT STRING that holds whole octets: a key or a signature. @throws EndorsementError CERT_MALFORMED */
export function wholeOctets(content: Uint8Array, what: string): Uint8Array {
  const { unusedBits, bytes } = bitStringBytes(content, what)
  if (unusedBits !== 0)
    throw new EndorsementError('CERT_MALFORMED', `${what} has ${unusedBits} unused bits, wanted none`)
  return bytes
}

/** Content of a BOOLEAN; any octet but 0 is true, as some vendors write 01. @throws EndorsementError CERT_MALFORMED */
export function booleanValue(content: Uint8Array, what: string): boolean {
  if (content.length !== 1) throw new EndorsementError('CERT_MALFORMED', `${what} is not a BOOLEAN`)
  return content[0] !== 0
}

/**
 * Magnitude of an INTEGER that must not be negative, without leading zeros (0 gives no bytes).
 * @throws EndorsementError CERT_MALFORMED
 */
export function unsignedBytes(content: Uint8Array, what: string): Uint8Array {
  const first = content[0]
  if (first === undefined || (first & 0x80) !== 0) {
    throw new EndorsementError('CERT_MALFORMED', `${what} is not an INTEGER of 0 or more`)
  }
  let start = 0
  while (start < content.length && content[start] === 0) start++
  return content.subarray(start)
}

/** Value of a small INTEGER of 0 or more. @throws EndorsementError CERT_MALFORMED beyond 2^31 - 1 */
export function smallInteger(content: Uint8Array, what: string): number {
  const magnitude = unsignedBytes(content, what)
  let value = 0
  for (const b of magnitude.subarray(0, 5)) value = value * 256 + b
  if (magnitude.length > 4 || value > 0x7fffffff) {
    throw new EndorsementError('CERT_MALFORMED', `${what} of ${magnitude.length} bytes is too large`)
  }
  return value
}

const hexTag = (tag: number): string => `0x${tag.toString(16).padStart(2, '0')}`
