import { createECDH, diffieHellman } from 'node:crypto'
import { coordinateBytes, type EcCurve, type PrivateKey, type PublicKey, unsigned } from './public-key.ts'

/** An affine point; both coordinates have coordinateBytes(curve) bytes. */
export interface EcPoint {
  readonly x: Uint8Array
  readonly y: Uint8Array
}

const OPENSSL_NAMES: Readonly<Record<EcCurve, string>> = {
  'P-256': 'prime256v1',
  'P-384': 'secp384r1',
  'P-521': 'secp521r1',
}
/**
 * Each draw misses the range with a chance under 2^-32 on these curves: a source that misses this often gives
 * constants.
 */
const MAX_DRAWS = 8

/**
 * One-pass Diffie-Hellman (SP 800-56A, C(1e, 1s)) towards a static key: makes an ephemeral key pair from random bytes.
 *
 * @param random gives that many random bytes; a draw outside 1..n-1 is drawn again
 * @returns the ephemeral public point and the shared point's x coordinate, coordinateBytes(curve) long
 * @throws TypeError for an RSA key; RangeError when the source keeps giving numbers that are no private key
 */
export function ecdhEphemeral(
  peer: PublicKey,
  random: (sizeBytes: number) => Uint8Array,
): { readonly ephemeral: EcPoint; readonly z: Uint8Array } {
  if (peer.kind !== 'ec') throw new TypeError('ECDH with an RSA key')
  const size = coordinateBytes(peer.curve)
  const ecdh = createECDH(OPENSSL_NAMES[peer.curve])
  for (let draw = 0; draw < MAX_DRAWS; draw++) {
    const scalar = Uint8Array.from(random(size))
    if (scalar.length !== size) throw new RangeError(`random source gave ${scalar.length} bytes, wanted ${size}`)
    if (peer.curve === 'P-521') scalar[0] = (scalar[0] as number) & 0x01 // 521 bits in 66 bytes
    if (unsigned(scalar).length === 0) continue
    try {
      ecdh.setPrivateKey(scalar)
    } catch {
      continue // not below the group order
    }
    scalar.fill(0)
    return {
      ephemeral: split(ecdh.getPublicKey(), size),
      z: new Uint8Array(ecdh.computeSecret(uncompressed(peer, size))),
    }
  }
  throw new RangeError(`${MAX_DRAWS} draws of the random source gave no ${peer.curve} private key`)
}

/** The shared point's x coordinate for the holder of the static key. @throws TypeError for keys of different curves */
export function ecdhStatic(privateKey: PrivateKey, ephemeral: PublicKey): Uint8Array {
  return new Uint8Array(diffieHellman({ privateKey, publicKey: ephemeral.keyObject }))
}

/** Coordinates of an EC public key. @throws TypeError for an RSA key */
export function ecPoint(key: PublicKey): EcPoint {
  if (key.kind !== 'ec') throw new TypeError('an RSA key is no point')
  const size = coordinateBytes(key.curve)
  return split(uncompressed(key, size), size)
}

function uncompressed(key: PublicKey, size: number): Uint8Array {
  // A SubjectPublicKeyInfo ends with the BIT STRING's last octets: 04, x, y (SEC 1 §2.3.3).
  return new Uint8Array(key.keyObject.export({ format: 'der', type: 'spki' })).slice(-(1 + 2 * size))
}

function split(point: Uint8Array, size: number): EcPoint {
  return { x: Uint8Array.from(point.subarray(1, 1 + size)), y: Uint8Array.from(point.subarray(1 + size)) }
}
