import { constants, type KeyObject, verify } from 'node:crypto'
import type { HashAlgorithm } from './hash.ts'
import type { PublicKey } from './public-key.ts'

/** PKCS #1 v1.5, PSS, or ECDSA. */
export type SignatureAlgorithm = 'rsassa' | 'rsapss' | 'ecdsa'
/** SHA-1 signs nothing here. */
export type SignatureHash = Exclude<HashAlgorithm, 'sha1'>

/** A signature with what it takes to check it. */
export interface DetachedSignature {
  readonly alg: SignatureAlgorithm
  readonly hash: SignatureHash
  /** For ECDSA an Ecdsa-Sig-Value in DER: see ecdsaDer(). */
  readonly bytes: Uint8Array
}

/**
 * @returns whether the signature over the message is the key's; false for bytes that are no signature at all
 * @throws TypeError when key and algorithm do not belong together: the caller has to check that first
 */
export function verifySignature(key: PublicKey, signature: DetachedSignature, message: Uint8Array): boolean {
  return verify(signature.hash, message, keyFor(key, signature), signature.bytes)
}

/** verifySignature() in libuv's pool, so that the event loop stays free: rejects where that throws. */
export function verifySignatureInPool(
  key: PublicKey,
  signature: DetachedSignature,
  message: Uint8Array,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    verify(signature.hash, message, keyFor(key, signature), signature.bytes, (err, valid) =>
      err ? reject(err) : resolve(valid),
    )
  })
}

function keyFor(key: PublicKey, signature: DetachedSignature): VerifyKey {
  if ((key.kind === 'ec') !== (signature.alg === 'ecdsa'))
    throw new TypeError(`${signature.alg} with a ${key.kind} key`)
  switch (signature.alg) {
    case 'ecdsa':
      return key.keyObject // `dsaEncoding: ieee-p1363` costs 27 us more on Node 24
    case 'rsassa':
      return { key: key.keyObject, padding: constants.RSA_PKCS1_PADDING }
    case 'rsapss':
      // TPMs differ in salt length: as large as fits before FIPS mode, the digest's size in it.
      return {
        key: key.keyObject,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_AUTO,
      }
  }
}

type VerifyKey = KeyObject | { key: KeyObject; padding: number; saltLength?: number }

/**
 * Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER } (RFC 3279 §2.2.3) in DER.
 *
 * @param r,s unsigned, big-endian, leading zeros allowed, at most 120 bytes each
 */
export function ecdsaDer(r: Uint8Array, s: Uint8Array): Uint8Array {
  const [rSize, sSize] = [derIntegerSize(r), derIntegerSize(s)]
  const size = 2 + rSize + 2 + sSize
  // A P-521 pair takes the long form of a length: 81 and one byte.
  const start = size < 0x80 ? 2 : 3
  const out = new Uint8Array(start + size)
  out[0] = 0x30
  if (start === 3) out[1] = 0x81
  out[start - 1] = size
  writeDerInteger(out, start, r, rSize)
  writeDerInteger(out, start + 2 + rSize, s, sSize)
  return out
}

/** Bytes of the INTEGER's value: it is signed, so a zero goes before a high bit; zero itself is one byte. */
function derIntegerSize(value: Uint8Array): number {
  let first = 0
  while (value[first] === 0) first++
  const size = value.length - first
  if (size > 120) throw new RangeError(`an ECDSA number of ${size} bytes`)
  return size === 0 || (value[first] as number) >= 0x80 ? size + 1 : size
}

/** Filled from its end, into zeros. No subarray(): of a small array it costs more than all the rest. */
function writeDerInteger(out: Uint8Array, at: number, value: Uint8Array, size: number): void {
  out[at] = 0x02
  out[at + 1] = size
  const end = at + 2 + size
  for (let i = 1; i <= size; i++) out[end - i] = value[value.length - i] ?? 0
}
