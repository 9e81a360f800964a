import { constants, privateDecrypt, publicEncrypt } from 'node:crypto'
import type { HashAlgorithm } from './hash.ts'
import type { PrivateKey, PublicKey } from './public-key.ts'

/**
 * RSAES-OAEP (RFC 8017 §7.1), MGF1 with the same hash. The padding's seed comes from the platform's random generator.
 *
 * @param label all its bytes, a terminating NUL included where the protocol has one
 * @throws TypeError for an EC key; RangeError for a message that does not fit the modulus
 */
export function rsaOaepEncrypt(
  key: PublicKey,
  hash: HashAlgorithm,
  label: Uint8Array,
  message: Uint8Array,
): Uint8Array {
  if (key.kind !== 'rsa') throw new TypeError('RSA-OAEP with an EC key')
  const options = { key: key.keyObject, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash, oaepLabel: label }
  try {
    return new Uint8Array(publicEncrypt(options, message))
  } catch (cause) {
    throw new RangeError(`${message.length} bytes do not fit RSA-${key.bits} with OAEP-${hash}`, { cause })
  }
}

/** @returns the message; undefined when padding, label or key are wrong, without telling which */
export function rsaOaepDecrypt(
  privateKey: PrivateKey,
  hash: HashAlgorithm,
  label: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  try {
    return new Uint8Array(
      privateDecrypt(
        { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash, oaepLabel: label },
        ciphertext,
      ),
    )
  } catch {
    return undefined // OpenSSL's reason would tell an attacker which check failed
  }
}
