import { MAX_DIGEST_BYTES, MAX_ECC_PARAMETER_BYTES, MAX_RSA_BYTES } from './constants.ts'
import { limitInput, WireReader, WireWriter } from './wire.ts'

/** TPMS_ID_OBJECT: a credential, encrypted and bound to one object's Name. */
export interface IdObject {
  readonly integrityHmac: Uint8Array
  /** An encrypted TPM2B_DIGEST. */
  readonly encIdentity: Uint8Array
}

const MAX_ID_OBJECT_BYTES = 2 * (2 + MAX_DIGEST_BYTES)
const MAX_ENCRYPTED_SECRET_BYTES = MAX_RSA_BYTES // an ECC point is smaller

/** TPM2B_ID_OBJECT. Source: TPM 2.0 Part 2 r1.59 §12.4.3. @throws WireError */
export function decodeIdObject(bytes: Uint8Array): IdObject {
  limitInput(bytes, 'TPM2B_ID_OBJECT', 2 + MAX_ID_OBJECT_BYTES)
  const r = new WireReader(bytes, 'TPM2B_ID_OBJECT')
  const value = r.sized('credential', MAX_ID_OBJECT_BYTES, (inner) => ({
    integrityHmac: inner.tpm2b('integrityHMAC', MAX_DIGEST_BYTES),
    encIdentity: inner.rest('encIdentity', 2 + MAX_DIGEST_BYTES),
  }))
  r.end()
  return value
}

/** TPM2B_ID_OBJECT in wire form. */
export function encodeIdObject(value: IdObject): Uint8Array {
  return new WireWriter().sized((w) => w.tpm2b(value.integrityHmac).bytes(value.encIdentity)).finish()
}

/**
 * TPM2B_ENCRYPTED_SECRET. Source: §11.4.3.
 *
 * @returns what is inside: an RSA ciphertext, or a TPMS_ECC_POINT
 * @throws WireError
 */
export function decodeEncryptedSecret(bytes: Uint8Array): Uint8Array {
  limitInput(bytes, 'TPM2B_ENCRYPTED_SECRET', 2 + MAX_ENCRYPTED_SECRET_BYTES)
  const r = new WireReader(bytes, 'TPM2B_ENCRYPTED_SECRET')
  const secret = r.tpm2b('secret', MAX_ENCRYPTED_SECRET_BYTES)
  r.end()
  return secret
}

/** TPM2B_ENCRYPTED_SECRET in wire form. */
export function encodeEncryptedSecret(secret: Uint8Array): Uint8Array {
  return new WireWriter().tpm2b(secret).finish()
}

/** TPMS_ECC_POINT. Source: §11.2.5.2. @throws WireError */
export function decodeEccPoint(bytes: Uint8Array): { readonly x: Uint8Array; readonly y: Uint8Array } {
  limitInput(bytes, 'TPMS_ECC_POINT', 2 * (2 + MAX_ECC_PARAMETER_BYTES))
  const r = new WireReader(bytes, 'TPMS_ECC_POINT')
  const point = { x: r.tpm2b('x', MAX_ECC_PARAMETER_BYTES), y: r.tpm2b('y', MAX_ECC_PARAMETER_BYTES) }
  r.end()
  return point
}

/** TPMS_ECC_POINT in wire form. */
export function encodeEccPoint(point: { readonly x: Uint8Array; readonly y: Uint8Array }): Uint8Array {
  return new WireWriter().tpm2b(point.x).tpm2b(point.y).finish()
}
