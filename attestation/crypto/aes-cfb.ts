import { createCipheriv, createDecipheriv } from 'node:crypto'

/**
 * AES in CFB mode with full-block feedback (SP 800-38A §6.3), no padding; it authenticates nothing.
 *
 * @param key 16, 24 or 32 bytes
 * @param iv 16 bytes
 * @returns as many bytes as came in
 * @throws RangeError for a key or iv of another size
 */
export function aesCfbEncrypt(key: Uint8Array, iv: Uint8Array, plaintext: Uint8Array): Uint8Array {
  return new Uint8Array(createCipheriv(cipherName(key, iv), key, iv).update(plaintext))
}

/** The inverse of aesCfbEncrypt(), with the same limits. */
export function aesCfbDecrypt(key: Uint8Array, iv: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return new Uint8Array(createDecipheriv(cipherName(key, iv), key, iv).update(ciphertext))
}

function cipherName(key: Uint8Array, iv: Uint8Array): string {
  if (key.length !== 16 && key.length !== 24 && key.length !== 32)
    throw new RangeError(`an AES key of ${key.length} bytes`)
  if (iv.length !== 16) throw new RangeError(`an AES initialisation vector of ${iv.length} bytes`)
  return `aes-${8 * key.length}-cfb`
}
