import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto'
import type { HashAlgorithm } from './hash.ts'

/** A public key as plain numbers, big-endian. RSA numbers have no leading zeros; coordinates have the curve's full width. */
export type VerificationKey =
  | { readonly kind: 'rsa'; readonly modulus: Uint8Array; readonly exponent: Uint8Array }
  | { readonly kind: 'ec'; readonly curve: 'P-256' | 'P-384' | 'P-521'; readonly x: Uint8Array; readonly y: Uint8Array }

/** Signature schemes of X.509 certificates (RFC 4055 §5, RFC 5758 §3.2). SHA-1 occurs in old vendor CAs; callers flag it. */
export interface CertificateSignatureScheme {
  readonly kind: 'rsa-pkcs1' | 'ecdsa'
  readonly hash: HashAlgorithm
}

/**
 * Verifies a signature with a key given as numbers, so that the key which a caller has checked is the key that is used.
 *
 * @param signature RSA: as long as the modulus; ECDSA: DER Ecdsa-Sig-Value
 * @returns `key-unusable` when the platform refuses the key, such as a point off its curve, or when it is of the other kind
 */
export function verifyCertificateSignature(
  key: VerificationKey,
  scheme: CertificateSignatureScheme,
  signed: Uint8Array,
  signature: Uint8Array,
): 'valid' | 'invalid' | 'key-unusable' {
  if ((key.kind === 'rsa') !== (scheme.kind === 'rsa-pkcs1')) return 'key-unusable'
  let platformKey: KeyObject
  try {
    platformKey = createPublicKey({ key: toJwk(key), format: 'jwk' })
  } catch {
    return 'key-unusable' // the result says all there is to say; OpenSSL's reason adds nothing
  }
  const options = key.kind === 'rsa' ? { padding: constants.RSA_PKCS1_PADDING } : { dsaEncoding: 'der' as const }
  return verify(scheme.hash, signed, { key: platformKey, ...options }, signature) ? 'valid' : 'invalid'
}

function toJwk(key: VerificationKey): { kty: string; [member: string]: string } {
  const b64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')
  return key.kind === 'rsa'
    ? { kty: 'RSA', n: b64(key.modulus), e: b64(key.exponent) }
    : { kty: 'EC', crv: key.curve, x: b64(key.x), y: b64(key.y) }
}
