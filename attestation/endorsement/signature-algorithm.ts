import type { CertificateSignatureScheme } from '../crypto/index.ts'
import { type DerReader, oidText, TAG } from './der.ts'
import { EndorsementError } from './errors.ts'

const SIGNATURES: ReadonlyMap<string, CertificateSignatureScheme> = new Map([
  ['1.2.840.113549.1.1.5', { alg: 'rsassa', hash: 'sha1' }],
  ['1.2.840.113549.1.1.11', { alg: 'rsassa', hash: 'sha256' }],
  ['1.2.840.113549.1.1.12', { alg: 'rsassa', hash: 'sha384' }],
  ['1.2.840.113549.1.1.13', { alg: 'rsassa', hash: 'sha512' }],
  ['1.2.840.10045.4.1', { alg: 'ecdsa', hash: 'sha1' }],
  ['1.2.840.10045.4.3.2', { alg: 'ecdsa', hash: 'sha256' }],
  ['1.2.840.10045.4.3.3', { alg: 'ecdsa', hash: 'sha384' }],
  ['1.2.840.10045.4.3.4', { alg: 'ecdsa', hash: 'sha512' }],
])

/** Names of algorithms that are not accepted, for messages. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ['1.2.840.113549.1.1.2', 'MD2 with RSA'],
  ['1.2.840.113549.1.1.4', 'MD5 with RSA'],
  ['1.2.840.113549.1.1.10', 'RSASSA-PSS'],
  ['1.3.101.112', 'Ed25519'],
])

/** @returns undefined for an algorithm that is not accepted */
export const signatureScheme = (oid: string): CertificateSignatureScheme | undefined => SIGNATURES.get(oid)

/** The algorithm in words, e.g. `rsassa-sha256`; for one that is not known its object identifier. */
export function signatureName(oid: string): string {
  const scheme = SIGNATURES.get(oid)
  return scheme === undefined ? (REFUSED.get(oid) ?? oid) : `${scheme.alg}-${scheme.hash}`
}

/**
 * Object identifier of an AlgorithmIdentifier. Parameters of the accepted schemes are NULL or absent: vendors mix them
 * up.
 * @throws EndorsementError CERT_MALFORMED
 */
export function readSignatureAlgorithm(r: DerReader): string {
  const oid = oidText(r.expect('algorithm', TAG.oid).content)
  const parameters = r.done ? undefined : r.read('parameters')
  r.end()
  if (
    SIGNATURES.has(oid) &&
    parameters !== undefined &&
    (parameters.tag !== TAG.null || parameters.content.length > 0)
  ) {
    throw new EndorsementError('CERT_MALFORMED', `signature algorithm ${oid} has parameters other than NULL`)
  }
  return oid
}
