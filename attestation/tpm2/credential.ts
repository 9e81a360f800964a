import { CodedError, equalBytes } from '../base/index.ts'
import { aesCfbDecrypt, aesCfbEncrypt, hashSize, hmac, type PrivateKey } from '../crypto/index.ts'
import { attributeNames, hasAttribute } from './attributes.ts'
import { decodeEncryptedSecret, decodeIdObject, encodeEncryptedSecret, encodeIdObject } from './credential-wire.ts'
import { kdfa } from './kdf.ts'
import { nameHash } from './name.ts'
import { decodePublic, type EccPublic, type RsaPublic } from './public.ts'
import type { SymCipher } from './schemes.ts'
import { openSecret, shareSecret } from './secret-sharing.ts'
import { WireReader, WireWriter } from './wire.ts'

/** Why a credential cannot be made or opened, one sentence each. */
export const CREDENTIAL_ERRORS = {
  CREDENTIAL_EK_UNSUITABLE: 'The endorsement key is no restricted decryption key with AES-CFB, or is too weak.',
  CREDENTIAL_NOT_OURS: 'The encrypted secret does not open with this key.',
  CREDENTIAL_INTEGRITY: 'The credential was made for another object, or was changed on the way.',
} as const satisfies Record<string, string>

/** A credential could not be made for, or opened with, that key. */
export class CredentialError extends CodedError<keyof typeof CREDENTIAL_ERRORS> {}

/** What TPM2_ActivateCredential takes, in wire form. */
export interface Credential {
  /** TPM2B_ID_OBJECT. */
  readonly idObject: Uint8Array
  /** TPM2B_ENCRYPTED_SECRET. */
  readonly encryptedSecret: Uint8Array
}

const NONE = new Uint8Array(0)
const ZERO_IV = new Uint8Array(16)
const MIN_RSA_BITS = 2048

interface StorageKey {
  readonly public: (RsaPublic | EccPublic) & { readonly symmetric: SymCipher }
}

/**
 * TPM2_MakeCredential: encrypts a secret so that only the TPM with that EK gives it back, and only while an object with
 * that Name is loaded beside it. Works for EKs on RSA, P-256, P-384 and P-521 with AES-CFB.
 * Source: TPM 2.0 Part 1 r1.59 §24 (Credential Protection), B.10.4 and C.6.4 (the seed).
 *
 * @param ekPublic TPMT_PUBLIC of the EK; it must be trusted already, by its certificate or an operator's list
 * @param name of the AK, from objectName()
 * @param secret 1..hashSize(nameAlg of the EK) bytes
 * @param random gives that many unpredictable bytes; an RSA EK's OAEP padding draws on the platform besides
 * @throws WireError, KeyError, CredentialError CREDENTIAL_EK_UNSUITABLE; RangeError for a secret or Name that cannot be
 */
export function makeCredential(
  ekPublic: Uint8Array,
  name: Uint8Array,
  secret: Uint8Array,
  random: (sizeBytes: number) => Uint8Array,
): Credential {
  const ek = storageKey(ekPublic)
  const { nameAlg } = ek.public
  if (nameHash(name) === undefined) throw new RangeError(`${name.length} bytes are no Name of an object`)
  if (secret.length === 0 || secret.length > hashSize(nameAlg)) {
    throw new RangeError(`a credential has 1..${hashSize(nameAlg)} bytes for this EK, got ${secret.length}`)
  }
  const seed = shareSecret(ek.public, 'IDENTITY', random)
  const { encryptionKey, hmacKey } = deriveKeys(ek, seed.secret, name)
  const encIdentity = aesCfbEncrypt(encryptionKey, ZERO_IV, new WireWriter().tpm2b(secret).finish())
  const integrityHmac = hmac(nameAlg, hmacKey, encIdentity, name)
  return {
    idObject: encodeIdObject({ integrityHmac, encIdentity }),
    encryptedSecret: encodeEncryptedSecret(seed.encrypted),
  }
}

/**
 * TPM2_ActivateCredential with an EK in software: the other half of makeCredential(), for tests and software TPMs.
 *
 * @param name of the object that is activated
 * @throws WireError, KeyError, CredentialError
 */
export function openCredential(
  ekPublic: Uint8Array,
  ekPrivate: PrivateKey,
  name: Uint8Array,
  credential: Credential,
): Uint8Array {
  const ek = storageKey(ekPublic)
  const { nameAlg } = ek.public
  const { integrityHmac, encIdentity } = decodeIdObject(credential.idObject)
  const seed = openSecret(ek.public, ekPrivate, 'IDENTITY', decodeEncryptedSecret(credential.encryptedSecret))
  if (seed === undefined) throw new CredentialError('CREDENTIAL_NOT_OURS', 'the encrypted seed is not for this RSA key')
  const { encryptionKey, hmacKey } = deriveKeys(ek, seed, name)
  if (!equalBytes(integrityHmac, hmac(nameAlg, hmacKey, encIdentity, name))) {
    throw new CredentialError('CREDENTIAL_INTEGRITY', 'the integrity HMAC is not over this identity and this Name')
  }
  const r = new WireReader(aesCfbDecrypt(encryptionKey, ZERO_IV, encIdentity), 'TPM2B_DIGEST')
  const secret = r.tpm2b('credential', hashSize(nameAlg))
  r.end()
  return secret
}

function storageKey(ekPublic: Uint8Array): StorageKey {
  const ek = decodePublic(ekPublic)
  if (ek.type !== 'rsa' && ek.type !== 'ecc') throw unsuitable(`it is a ${ek.type} object`)
  if (!hasAttribute(ek.attributes, 'restricted') || !hasAttribute(ek.attributes, 'decrypt')) {
    throw unsuitable(`its attributes are ${attributeNames(ek.attributes).join(', ')}`)
  }
  if (ek.nameAlg === 'sha1') throw unsuitable('its nameAlg is SHA-1')
  const { symmetric } = ek
  if (symmetric.alg !== 'aes' || symmetric.mode !== 'cfb' || ![128, 192, 256].includes(symmetric.keyBits)) {
    throw unsuitable(`its symmetric algorithm is ${symmetric.alg}`)
  }
  if (ek.type === 'rsa' && ek.keyBits < MIN_RSA_BITS)
    throw unsuitable(`RSA-${ek.keyBits}, wanted ${MIN_RSA_BITS} or more`)
  return { public: { ...ek, symmetric } }
}

function unsuitable(why: string): CredentialError {
  return new CredentialError('CREDENTIAL_EK_UNSUITABLE', `this endorsement key takes no credential: ${why}`)
}

function deriveKeys(ek: StorageKey, seed: Uint8Array, name: Uint8Array) {
  const { nameAlg, symmetric } = ek.public
  return {
    encryptionKey: kdfa(nameAlg, seed, 'STORAGE', name, NONE, symmetric.keyBits),
    hmacKey: kdfa(nameAlg, seed, 'INTEGRITY', NONE, NONE, 8 * hashSize(nameAlg)),
  }
}
