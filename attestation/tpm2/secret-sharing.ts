import { concatBytes, utf8 } from '../base/index.ts'
import {
  coordinateBytes,
  ecdhEphemeral,
  ecdhStatic,
  ecPoint,
  hashSize,
  importEcPublicKey,
  leftPad,
  type PrivateKey,
  rsaOaepDecrypt,
  rsaOaepEncrypt,
  unsigned,
} from '../crypto/index.ts'
import { decodeEccPoint, encodeEccPoint } from './credential-wire.ts'
import { kdfe } from './kdf.ts'
import { publicKeyOf } from './key.ts'
import type { EccPublic, RsaPublic } from './public.ts'

/** What the secret is for: the seed of a credential, or the salt of a session. */
export type SecretLabel = 'IDENTITY' | 'SECRET'

/** A secret as large as the key's nameAlg, and the same for the eyes of one TPM. */
export interface SharedSecret {
  readonly secret: Uint8Array
  /** What a TPM2B_ENCRYPTED_SECRET holds: an RSA ciphertext, or the ephemeral TPMS_ECC_POINT. */
  readonly encrypted: Uint8Array
}

/**
 * Makes a secret that only the holder of a decryption key can have as well.
 * Source: TPM 2.0 Part 1 r1.59 B.10 (RSA: OAEP with the nameAlg), C.6 (ECC: one-pass Diffie-Hellman and KDFe).
 *
 * @param random gives that many unpredictable bytes; OAEP padding draws on the platform besides
 * @throws KeyError for numbers that are no key
 */
export function shareSecret(
  key: RsaPublic | EccPublic,
  label: SecretLabel,
  random: (sizeBytes: number) => Uint8Array,
): SharedSecret {
  const { nameAlg } = key
  const publicKey = publicKeyOf(key)
  if (publicKey.kind === 'rsa') {
    const secret = random(hashSize(nameAlg))
    return { secret, encrypted: rsaOaepEncrypt(publicKey, nameAlg, oaepLabel(label), secret) }
  }
  const { ephemeral, z } = ecdhEphemeral(publicKey, random)
  const secret = kdfe(nameAlg, z, label, ephemeral.x, ecPoint(publicKey).x, 8 * hashSize(nameAlg))
  return { secret, encrypted: encodeEccPoint(ephemeral) }
}

/**
 * The holder's side, for keys in software.
 *
 * @returns the secret; undefined for an RSA ciphertext that is not for this key and label
 * @throws WireError, KeyError for an ephemeral point that is none
 */
export function openSecret(
  key: RsaPublic | EccPublic,
  privateKey: PrivateKey,
  label: SecretLabel,
  encrypted: Uint8Array,
): Uint8Array | undefined {
  const { nameAlg } = key
  if (key.type === 'rsa') return rsaOaepDecrypt(privateKey, nameAlg, oaepLabel(label), encrypted)
  const point = decodeEccPoint(encrypted)
  const ephemeral = importEcPublicKey(key.curve, point.x, point.y)
  const z = ecdhStatic(privateKey, ephemeral)
  const staticX = leftPad(unsigned(key.unique.x), coordinateBytes(key.curve))
  return kdfe(nameAlg, z, label, ecPoint(ephemeral).x, staticX, 8 * hashSize(nameAlg))
}

function oaepLabel(label: SecretLabel): Uint8Array {
  return concatBytes(utf8(label), Uint8Array.of(0)) // the NUL is part of the label (B.4)
}
