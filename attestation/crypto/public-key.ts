import { createPublicKey, type KeyObject } from 'node:crypto'
import { CodedError } from '../base/index.ts'

/** The curves Holdfast computes on. */
export type EcCurve = 'P-256' | 'P-384' | 'P-521'

/** What can be wrong with key material, one sentence each. */
export const KEY_ERRORS = {
  KEY_INVALID: 'The numbers or bytes are no public key: a point off its curve, an empty modulus, broken DER.',
  KEY_UNSUPPORTED: 'It is a key, but of a kind or on a curve that is not used here.',
} as const satisfies Record<string, string>

/** Key material of a peer that cannot be used. */
export class KeyError extends CodedError<keyof typeof KEY_ERRORS> {}

const COORDINATE_BYTES: Readonly<Record<EcCurve, number>> = { 'P-256': 32, 'P-384': 48, 'P-521': 66 }
const CURVE_NAMES: Readonly<Record<string, EcCurve>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }

/** Size of one coordinate in bytes. */
export function coordinateBytes(curve: EcCurve): number {
  return COORDINATE_BYTES[curve]
}

/** A public key the platform has parsed and checked once; keep it, parsing again costs more than a signature check. */
export type PublicKey =
  | { readonly kind: 'rsa'; readonly bits: number; readonly keyObject: KeyObject }
  | { readonly kind: 'ec'; readonly curve: EcCurve; readonly keyObject: KeyObject }

/** A private key in software: only tests and software TPMs have one. */
export type PrivateKey = KeyObject

/**
 * @param modulus big-endian, leading zeros allowed
 * @param exponent the number itself, e.g. 65537
 * @throws KeyError KEY_INVALID
 */
export function importRsaPublicKey(modulus: Uint8Array, exponent: number): PublicKey {
  const n = unsigned(modulus)
  if (n.length === 0 || exponent === 0) throw new KeyError('KEY_INVALID', 'an RSA modulus or exponent of zero')
  const e = Buffer.alloc(4)
  e.writeUInt32BE(exponent)
  return wrap(fromJwk({ kty: 'RSA', n: base64url(n), e: base64url(unsigned(e)) }))
}

/**
 * Refuses a point that is not on the curve, and the point at infinity.
 *
 * @param x,y big-endian; leading zeros may be missing or too many
 * @throws KeyError KEY_INVALID
 */
export function importEcPublicKey(curve: EcCurve, x: Uint8Array, y: Uint8Array): PublicKey {
  const size = COORDINATE_BYTES[curve]
  const [px, py] = [unsigned(x), unsigned(y)]
  if (px.length > size || py.length > size) throw new KeyError('KEY_INVALID', `a ${curve} coordinate has ${size} bytes`)
  return wrap(fromJwk({ kty: 'EC', crv: curve, x: base64url(leftPad(px, size)), y: base64url(leftPad(py, size)) }))
}

/**
 * @param der SubjectPublicKeyInfo (RFC 5280)
 * @throws KeyError
 */
export function importSpki(der: Uint8Array): PublicKey {
  let keyObject: KeyObject
  try {
    keyObject = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' })
  } catch (cause) {
    throw new KeyError('KEY_INVALID', `not a SubjectPublicKeyInfo of ${der.length} bytes`, { cause })
  }
  return wrap(keyObject)
}

/** SubjectPublicKeyInfo of the key, DER: the form to compare keys from different sources in. */
export function exportSpki(key: PublicKey): Uint8Array {
  return new Uint8Array(key.keyObject.export({ format: 'der', type: 'spki' }))
}

function fromJwk(key: Record<string, string>): KeyObject {
  try {
    return createPublicKey({ key, format: 'jwk' })
  } catch (cause) {
    throw new KeyError('KEY_INVALID', `the platform refuses this ${key['crv'] ?? 'RSA'} public key`, { cause })
  }
}

function wrap(keyObject: KeyObject): PublicKey {
  const { modulusLength, namedCurve } = keyObject.asymmetricKeyDetails ?? {}
  if (keyObject.asymmetricKeyType === 'rsa' && modulusLength !== undefined) {
    return { kind: 'rsa', bits: modulusLength, keyObject }
  }
  const curve = namedCurve === undefined ? undefined : CURVE_NAMES[namedCurve]
  if (curve === undefined) {
    const what = [keyObject.asymmetricKeyType, namedCurve].filter((s) => s !== undefined).join(' ')
    throw new KeyError('KEY_UNSUPPORTED', `${what} is neither RSA nor one of ${Object.values(CURVE_NAMES).join(', ')}`)
  }
  return { kind: 'ec', curve, keyObject }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url')
}

/** An unsigned big-endian integer without its leading zeros. */
export function unsigned(bytes: Uint8Array): Uint8Array {
  let at = 0
  while (at < bytes.length && bytes[at] === 0) at++
  return bytes.subarray(at)
}

/** @throws RangeError when it is longer than `size` already */
export function leftPad(bytes: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size)
  out.set(bytes, size - bytes.length)
  return out
}
