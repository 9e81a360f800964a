import { type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto'
import { digest } from '../crypto/index.ts'
import { EXT } from '../endorsement/index.ts'
import {
  type Asn1,
  bitString,
  boolean,
  explicit,
  fromOwnDer,
  implicit,
  integer,
  octetString,
  oid,
  sequence,
  time,
  toDer,
} from './asn1.ts'

const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2'
const VERSION_3 = Uint8Array.of(2)
const SERIAL_BYTES = 20

/** One extension, its value not yet wrapped in an OCTET STRING. */
export interface ExtensionSpec {
  readonly oid: string
  readonly critical: boolean
  readonly value: Asn1
}

/** Everything of a certificate but version, serial number and signature. */
export interface CertificateSpec {
  /** Name of the issuer in DER, octet for octet its own subject. */
  readonly issuer: Uint8Array
  readonly subject: Asn1
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKeyInfo: Uint8Array
  readonly notBefore: Date
  readonly notAfter: Date
  readonly extensions: readonly ExtensionSpec[]
}

export interface IssuedCertificate {
  readonly der: Uint8Array
  readonly pem: string
  /** Hex, positive, 20 bytes. */
  readonly serial: string
  readonly notBefore: Date
  readonly notAfter: Date
}

/**
 * Makes and signs an X.509 v3 certificate (RFC 5280 §4.1) with a P-256 key: node-forge builds the tree, the platform
 * signs.
 */
export function buildCertificate(spec: CertificateSpec, issuerKey: KeyObject): IssuedCertificate {
  const serial = randomBytes(SERIAL_BYTES)
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40 // positive, and always of full length: 158 random bits remain
  const algorithm = () => sequence(oid(ECDSA_WITH_SHA256))
  const tbs = sequence(
    explicit(0, integer(VERSION_3)),
    integer(serial),
    algorithm(),
    fromOwnDer(spec.issuer),
    sequence(time(spec.notBefore), time(spec.notAfter)),
    spec.subject,
    fromOwnDer(spec.publicKeyInfo),
    explicit(3, sequence(...spec.extensions.map(extension))),
  )
  const signature = sign('sha256', toDer(tbs), issuerKey)
  const der = toDer(sequence(tbs, algorithm(), bitString(signature)))
  return {
    der,
    pem: new X509Certificate(der).toString(),
    serial: serial.toString('hex'),
    notBefore: spec.notBefore,
    notAfter: spec.notAfter,
  }
}

function extension({ oid: id, critical, value }: ExtensionSpec): Asn1 {
  const wrapped = octetString(toDer(value))
  return critical ? sequence(oid(id), boolean(true), wrapped) : sequence(oid(id), wrapped)
}

/** BasicConstraints, critical. `pathLength` only for a CA. */
export function basicConstraints(ca: false | { readonly pathLength: number }): ExtensionSpec {
  const value = ca === false ? sequence() : sequence(boolean(true), integer(Uint8Array.of(ca.pathLength)))
  return { oid: EXT.basicConstraints, critical: true, value }
}

/** KeyUsage, critical. @param bits numbers of RFC 5280 §4.2.1.3, each below 8 */
export function keyUsage(...bits: readonly number[]): ExtensionSpec {
  let octet = 0
  for (const bit of bits) octet |= 0x80 >> bit
  const unused = 7 - Math.max(...bits) // DER drops trailing zero bits of a named bit list (X.690 §11.2.2)
  return { oid: EXT.keyUsage, critical: true, value: bitString(Uint8Array.of(octet), unused) }
}

/** ExtendedKeyUsage with one purpose, not critical. */
export function extKeyUsage(purpose: string): ExtensionSpec {
  return { oid: EXT.extKeyUsage, critical: false, value: sequence(oid(purpose)) }
}

/** SubjectAltName, critical: certificates issued here have no subject name (RFC 5280 §4.2.1.6). */
export function subjectAltName(...names: readonly Asn1[]): ExtensionSpec {
  return { oid: EXT.subjectAltName, critical: true, value: sequence(...names) }
}

/** SubjectKeyIdentifier of a key. */
export function subjectKeyIdentifier(publicKeyInfo: Uint8Array): ExtensionSpec {
  return { oid: EXT.subjectKeyIdentifier, critical: false, value: octetString(keyIdentifier(publicKeyInfo)) }
}

/** AuthorityKeyIdentifier that repeats the issuer's SubjectKeyIdentifier. */
export function authorityKeyIdentifier(issuerKeyId: Uint8Array): ExtensionSpec {
  return { oid: EXT.authorityKeyIdentifier, critical: false, value: sequence(implicit(0, issuerKeyId)) }
}

/**
 * Of a key we made or certify: the first 20 bytes of SHA-256 over its SubjectPublicKeyInfo (RFC 5280 §4.2.1.2 leaves it
 * free).
 */
export function keyIdentifier(publicKeyInfo: Uint8Array): Uint8Array {
  return digest('sha256', publicKeyInfo).subarray(0, 20)
}
