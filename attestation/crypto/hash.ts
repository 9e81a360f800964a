import { createHash, createHmac } from 'node:crypto'

/** The hash algorithms that a TPM bank, a name or a signature may use here. SHA-1 exists for old banks only. */
export type HashAlgorithm = 'sha1' | 'sha256' | 'sha384' | 'sha512'

const SIZES: Readonly<Record<HashAlgorithm, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 }

/** Digest size in bytes. */
export function hashSize(alg: HashAlgorithm): number {
  return SIZES[alg]
}

/** Digest of all parts, one after another. */
export function digest(alg: HashAlgorithm, ...parts: readonly Uint8Array[]): Uint8Array {
  const h = createHash(alg)
  for (const p of parts) h.update(p)
  return new Uint8Array(h.digest())
}

/** HMAC (RFC 2104) of all parts, one after another. */
export function hmac(alg: HashAlgorithm, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const h = createHmac(alg, key)
  for (const p of parts) h.update(p)
  return new Uint8Array(h.digest())
}
