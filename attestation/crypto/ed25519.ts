import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { KeyError, type PrivateKey } from './public-key.ts'

/** An Ed25519 public key, parsed once. Source: RFC 8032 §5.1.5. */
export interface Ed25519PublicKey {
  /** The 32 bytes that RFC 8032 encodes it as. */
  readonly bytes: Uint8Array
  readonly keyObject: KeyObject
}

const KEY_BYTES = 32
/** SubjectPublicKeyInfo up to the key's bits: SEQUENCE, AlgorithmIdentifier 1.3.101.112, BIT STRING. Source: RFC 8410 §4. */
const SPKI_PREFIX = Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00)

/** @throws KeyError KEY_INVALID for anything but 32 bytes; a point off the curve verifies nothing */
export function importEd25519PublicKey(bytes: Uint8Array): Ed25519PublicKey {
  if (bytes.length !== KEY_BYTES) {
    throw new KeyError('KEY_INVALID', `an Ed25519 public key has ${KEY_BYTES} bytes, this one ${bytes.length}`)
  }
  try {
    const key = Buffer.concat([SPKI_PREFIX, bytes])
    return { bytes: bytes.slice(), keyObject: createPublicKey({ key, format: 'der', type: 'spki' }) }
  } catch (cause) {
    throw new KeyError('KEY_INVALID', 'the platform refuses this Ed25519 public key', { cause })
  }
}

/** @throws KeyError KEY_UNSUPPORTED when the private key is of another kind */
export function ed25519PublicKeyOf(privateKey: PrivateKey): Ed25519PublicKey {
  if (privateKey.asymmetricKeyType !== 'ed25519') {
    throw new KeyError('KEY_UNSUPPORTED', `an Ed25519 private key is needed, this is ${privateKey.asymmetricKeyType}`)
  }
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return importEd25519PublicKey(new Uint8Array(spki.subarray(SPKI_PREFIX.length)))
}

/** @returns whether the signature over the message is the key's; false for bytes that are no signature at all */
export function verifyEd25519(key: Ed25519PublicKey, message: Uint8Array, signature: Uint8Array): boolean {
  return verify(null, message, key.keyObject, signature)
}

/** @returns 64 bytes, the same each time: Ed25519 signs without randomness */
export function signEd25519(key: PrivateKey, message: Uint8Array): Uint8Array {
  return new Uint8Array(sign(null, message, key))
}
