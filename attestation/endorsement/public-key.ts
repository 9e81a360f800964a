import {
  coordinateBytes,
  type EcCurve,
  importEcPublicKey,
  importRsaPublicKey,
  type PublicKey,
} from '../crypto/index.ts'
import { DerReader, oidText, smallInteger, TAG, unsignedBytes, wholeOctets } from './der.ts'
import { CURVES, KEY } from './oids.ts'
import { isRocaModulus } from './roca.ts'

/** The numbers of a certificate's key, or why they cannot be used. Numbers are big-endian. */
export type SubjectPublicKey =
  | { readonly kind: 'rsa'; readonly modulus: Uint8Array; readonly exponent: number }
  | { readonly kind: 'ec'; readonly curve: EcCurve; readonly x: Uint8Array; readonly y: Uint8Array }
  | { readonly kind: 'unsupported'; readonly reason: string }

/** Exponents in use have 17 bits; one as long as the modulus would make each check a private-key operation. */
const MAX_EXPONENT_BYTES = 4

/**
 * SubjectPublicKeyInfo (RFC 5280 §4.1.2.7, RFC 3279 §2.3, RFC 5480 §2).
 *
 * @param bytes with the outer SEQUENCE
 * @returns the key, or `unsupported` for an algorithm, curve, exponent or point form not read here
 * @throws EndorsementError CERT_MALFORMED
 */
export function decodeSubjectPublicKey(bytes: Uint8Array): SubjectPublicKey {
  const outer = new DerReader(bytes, 'subjectPublicKeyInfo')
  const r = outer.sequence('value')
  outer.end()
  const algorithm = r.sequence('algorithm')
  const oid = oidText(algorithm.expect('algorithm', TAG.oid).content)
  const key = wholeOctets(r.expect('subjectPublicKey', TAG.bitString).content, 'subjectPublicKey')
  r.end()
  switch (oid) {
    case KEY.rsa:
    case KEY.rsaOaep:
      return decodeRsa(key)
    case KEY.ec: {
      const parameters = algorithm.read('parameters')
      return parameters.tag === TAG.oid ? decodePoint(key, oidText(parameters.content)) : unsupported('explicit curve')
    }
    default:
      return unsupported(`public key algorithm ${oid}`)
  }
}

function decodeRsa(key: Uint8Array): SubjectPublicKey {
  const outer = new DerReader(key, 'RSAPublicKey')
  const r = outer.sequence('value')
  outer.end()
  const modulus = unsignedBytes(r.expect('modulus', TAG.integer).content, 'modulus')
  const exponent = r.expect('publicExponent', TAG.integer).content
  r.end()
  const exponentBytes = unsignedBytes(exponent, 'publicExponent').length
  if (exponentBytes > MAX_EXPONENT_BYTES) return unsupported(`RSA exponent of ${exponentBytes} bytes`)
  return { kind: 'rsa', modulus, exponent: smallInteger(exponent, 'publicExponent') }
}

function decodePoint(point: Uint8Array, curveOid: string): SubjectPublicKey {
  const curve = CURVES.get(curveOid)
  if (curve === undefined) return unsupported(`elliptic curve ${curveOid}`)
  const size = coordinateBytes(curve)
  if (point[0] !== 0x04 || point.length !== 1 + 2 * size) {
    return unsupported(`${curve} point of ${point.length} bytes that is not in uncompressed form`)
  }
  return { kind: 'ec', curve, x: point.subarray(1, 1 + size), y: point.subarray(1 + size) }
}

const unsupported = (reason: string): SubjectPublicKey => ({ kind: 'unsupported', reason })

/** Size of an RSA modulus in bits, its leading zero bits not counted. */
export function modulusBits(modulus: Uint8Array): number {
  const first = modulus[0]
  return first === undefined ? 0 : (modulus.length - 1) * 8 + (32 - Math.clz32(first))
}

/**
 * The key to verify with, made of the very numbers that were read and judged.
 * @throws KeyError for numbers that are no key, such as a point off its curve
 */
export function importKey(key: Exclude<SubjectPublicKey, { kind: 'unsupported' }>): PublicKey {
  return key.kind === 'rsa' ? importRsaPublicKey(key.modulus, key.exponent) : importEcPublicKey(key.curve, key.x, key.y)
}

/**
 * Why a key of an accepted kind and size gives no security, so far as its numbers tell: an even modulus or exponent, an
 * exponent of 1, or the fingerprint of ROCA. Undefined when nothing is known against it.
 */
export function weakness(key: SubjectPublicKey): string | undefined {
  if (key.kind !== 'rsa') return undefined
  if (((key.modulus[key.modulus.length - 1] ?? 0) & 1) === 0) return 'has an even modulus'
  if (key.exponent < 3 || key.exponent % 2 === 0) return `has public exponent ${key.exponent}`
  if (isRocaModulus(key.modulus)) return 'is of the flawed generator ROCA (CVE-2017-15361): it can be factored'
  return undefined
}
