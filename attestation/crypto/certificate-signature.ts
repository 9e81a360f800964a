import { constants, verify } from 'node:crypto'
import type { HashAlgorithm } from './hash.ts'
import type { PublicKey } from './public-key.ts'

/**
 * Signature schemes of X.509 certificates (RFC 4055 §5, RFC 5758 §3.2). Unlike in a TPM's signatures, SHA-1 may occur:
 * old vendor CAs have it, and it is for the caller to flag.
 */
export interface CertificateSignatureScheme {
  readonly alg: 'rsassa' | 'ecdsa'
  readonly hash: HashAlgorithm
}

/**
 * @param signature RSA: as long as the modulus; ECDSA: DER Ecdsa-Sig-Value
 * @returns whether the signature over the bytes is the key's; false for bytes that are no signature at all
 * @throws TypeError when key and algorithm do not belong together: the caller has to check that first
 */
export function verifyCertificateSignature(
  key: PublicKey,
  scheme: CertificateSignatureScheme,
  signed: Uint8Array,
  signature: Uint8Array,
): boolean {
  if ((key.kind === 'ec') !== (scheme.alg === 'ecdsa')) throw new TypeError(`${scheme.alg} with a ${key.kind} key`)
  const how = key.kind === 'ec' ? key.keyObject : { key: key.keyObject, padding: constants.RSA_PKCS1_PADDING }
  return verify(scheme.hash, signed, how, signature)
}
