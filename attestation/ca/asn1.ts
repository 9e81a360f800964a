import forge from 'node-forge'

const { asn1 } = forge
const { UNIVERSAL, CONTEXT_SPECIFIC } = asn1.Class

/** A value in node-forge's ASN.1 tree. */
export type Asn1 = forge.asn1.Asn1

// node-forge keeps octets in strings, one char code each
const octets = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

export const sequence = (...members: Asn1[]): Asn1 => asn1.create(UNIVERSAL, asn1.Type.SEQUENCE, true, members)
export const set = (...members: Asn1[]): Asn1 => asn1.create(UNIVERSAL, asn1.Type.SET, true, members)
export const oid = (text: string): Asn1 => asn1.create(UNIVERSAL, asn1.Type.OID, false, asn1.oidToDer(text).getBytes())
export const boolean = (value: boolean): Asn1 => asn1.create(UNIVERSAL, asn1.Type.BOOLEAN, false, value ? '\xff' : '\0')
export const octetString = (bytes: Uint8Array): Asn1 =>
  asn1.create(UNIVERSAL, asn1.Type.OCTETSTRING, false, octets(bytes))
export const utf8String = (text: string): Asn1 =>
  asn1.create(UNIVERSAL, asn1.Type.UTF8, false, octets(Buffer.from(text, 'utf8')))
/** @param bytes two's complement, as few as possible */
export const integer = (bytes: Uint8Array): Asn1 => asn1.create(UNIVERSAL, asn1.Type.INTEGER, false, octets(bytes))
/** `[n] EXPLICIT` around a value, or a constructed `[n]` CHOICE member. */
export const explicit = (n: number, value: Asn1): Asn1 => asn1.create(CONTEXT_SPECIFIC, n, true, [value])
/** `[n] IMPLICIT` octets of a string type. */
export const implicit = (n: number, bytes: Uint8Array): Asn1 => asn1.create(CONTEXT_SPECIFIC, n, false, octets(bytes))

/** @param unusedBits of the last octet */
export function bitString(bytes: Uint8Array, unusedBits = 0): Asn1 {
  return asn1.create(UNIVERSAL, asn1.Type.BITSTRING, false, String.fromCharCode(unusedBits) + octets(bytes))
}

/** UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5); whole seconds. */
export function time(date: Date): Asn1 {
  return date.getUTCFullYear() < 2050
    ? asn1.create(UNIVERSAL, asn1.Type.UTCTIME, false, asn1.dateToUtcTime(date))
    : asn1.create(UNIVERSAL, asn1.Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(date))
}

/** DER of a tree. */
export function toDer(value: Asn1): Uint8Array {
  return new Uint8Array(Buffer.from(asn1.toDer(value).getBytes(), 'latin1'))
}

/** Tree of our own DER, such as a key exported by the platform; peers' DER goes through attestation/endorsement. */
export function fromOwnDer(bytes: Uint8Array): Asn1 {
  return asn1.fromDer(octets(bytes))
}
