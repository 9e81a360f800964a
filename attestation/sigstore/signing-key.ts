import { toHex } from '../base/index.ts'
import {
  digest,
  type Ed25519PublicKey,
  importEd25519PublicKey,
  importSpki,
  KeyError,
  type PublicKey,
  type SignatureHash,
  verifyEd25519,
  verifySignature,
} from '../crypto/index.ts'
import { SigstoreError } from './errors.ts'

/** A public key that signs artifacts, entries or tree heads. */
export interface SigningKey {
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array
  /** `sha256:<hex>` of it. */
  readonly fingerprint: string
  readonly key: PublicKey | Ed25519PublicKey
}

/** SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410 §4). */
const ED25519_PREFIX = '302a300506032b6570032100'

/** @throws SigstoreError SIGSTORE_UNSUPPORTED for what is no RSA, NIST curve or Ed25519 key */
export function importSigningKey(spki: Uint8Array): SigningKey {
  const fingerprint = fingerprintOf(spki)
  try {
    const isEd25519 = toHex(spki.subarray(0, ED25519_PREFIX.length / 2)) === ED25519_PREFIX
    const key = isEd25519 ? importEd25519PublicKey(spki.subarray(ED25519_PREFIX.length / 2)) : importSpki(spki)
    return { spki, fingerprint, key }
  } catch (cause) {
    if (!(cause instanceof KeyError)) throw cause
    throw new SigstoreError('SIGSTORE_UNSUPPORTED', `public key ${fingerprint}: ${cause.message}`, { cause })
  }
}

/** `sha256:<hex>`, by which keys and certificates are named outside of this folder. */
export function fingerprintOf(bytes: Uint8Array): string {
  return `sha256:${toHex(digest('sha256', bytes))}`
}

const MIN_RSA_BITS = 2048

/**
 * Whether the signature over the message is the key's. Which hash goes with a key nobody writes down: Sigstore's clients
 * take SHA-256 for bare keys of any size, and for certificates the one of the curve's size, so either will do.
 */
export function verifyMessage({ key }: SigningKey, message: Uint8Array, signature: Uint8Array): boolean {
  if (!('kind' in key)) return verifyEd25519(key, message, signature)
  if (key.kind === 'rsa') {
    if (key.bits < MIN_RSA_BITS) return false
    return verifySignature(key, { alg: 'rsassa', hash: 'sha256', bytes: signature }, message)
  }
  const ofCurve = { 'P-256': 'sha256', 'P-384': 'sha384', 'P-521': 'sha512' } as const
  const hashes = new Set<SignatureHash>([ofCurve[key.curve], 'sha256'])
  return [...hashes].some((hash) => verifySignature(key, { alg: 'ecdsa', hash, bytes: signature }, message))
}
