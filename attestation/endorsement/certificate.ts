import { type CertificateSignatureScheme, digest } from '../crypto/index.ts'
import { contextTag, contextTagPrimitive, DerReader, smallInteger, TAG, wholeOctets } from './der.ts'
import { type DistinguishedName, decodeName } from './distinguished-name.ts'
import { EndorsementError } from './errors.ts'
import { type Extensions, NO_EXTENSIONS, readExtensions } from './extensions.ts'
import { decodeSubjectPublicKey, type SubjectPublicKey } from './public-key.ts'
import { readSignatureAlgorithm, signatureScheme } from './signature-algorithm.ts'
import { decodeTime } from './time.ts'

/** Largest certificate that is read. Real ones have up to 3 KiB. */
export const MAX_CERTIFICATE_BYTES = 16 << 10

/**
 * An X.509 certificate as its issuer wrote it (RFC 5280 §4.1). Every field is a claim until findPath() has reached a
 * root. Byte arrays are views into one copy of the received bytes.
 */
export interface Certificate {
  /** The certificate alone: padding and whatever else followed it is cut off. */
  readonly bytes: Uint8Array
  /** SHA-256 of `bytes`. */
  readonly fingerprint: Uint8Array
  /** TBSCertificate as received: what the signature is over. */
  readonly signedBytes: Uint8Array
  /** 1, 2 or 3 */
  readonly version: number
  /** Content of the INTEGER, sign included. */
  readonly serial: Uint8Array
  readonly signatureOid: string
  /** undefined for an algorithm that is not accepted. */
  readonly signatureScheme: CertificateSignatureScheme | undefined
  readonly signature: Uint8Array
  readonly issuer: DistinguishedName
  readonly subject: DistinguishedName
  readonly notBefore: Date
  readonly notAfter: Date
  /** SubjectPublicKeyInfo with its outer SEQUENCE. */
  readonly publicKeyInfo: Uint8Array
  readonly publicKey: SubjectPublicKey
  readonly extensions: Extensions
}

/**
 * Reads one certificate, leniently where real vendors' are not DER (see DerReader), and believes nothing.
 * Bytes after the certificate are ignored: NV indices are padded with FF, files end in line feeds.
 *
 * @param bytes DER, at most MAX_CERTIFICATE_BYTES up to its end
 * @throws EndorsementError CERT_MALFORMED, CERT_TOO_LARGE
 */
export function decodeCertificate(bytes: Uint8Array): Certificate {
  const size = certificateSize(bytes)
  if (size > MAX_CERTIFICATE_BYTES) {
    throw new EndorsementError(
      'CERT_TOO_LARGE',
      `certificate says it has ${size} bytes, at most ${MAX_CERTIFICATE_BYTES} are read`,
    )
  }
  const outer = new DerReader(bytes.slice(0, size), 'Certificate') // a copy: the caller may reuse its buffer
  const { bytes: all, content } = outer.expect('value', TAG.sequence)
  const r = new DerReader(content, 'Certificate')
  const tbs = r.expect('tbsCertificate', TAG.sequence)
  const outerAlgorithm = readSignatureAlgorithm(r.sequence('signatureAlgorithm'))
  const signature = wholeOctets(r.expect('signatureValue', TAG.bitString).content, 'signatureValue')
  r.end()

  const t = new DerReader(tbs.content, 'TBSCertificate')
  const version = readVersion(t)
  const serial = t.expect('serialNumber', TAG.integer).content
  if (serial.length === 0) throw new EndorsementError('CERT_MALFORMED', 'TBSCertificate.serialNumber is empty')
  const signatureOid = readSignatureAlgorithm(t.sequence('signature'))
  if (signatureOid !== outerAlgorithm) {
    throw new EndorsementError(
      'CERT_MALFORMED',
      `signature algorithm is ${signatureOid} inside and ${outerAlgorithm} outside the signed part (RFC 5280 §4.1.1.2)`,
    )
  }
  const issuer = decodeName(t.expect('issuer', TAG.sequence).bytes, 'issuer')
  const validity = t.sequence('validity')
  const notBefore = decodeTime(validity.read('notBefore'), 'notBefore')
  const notAfter = decodeTime(validity.read('notAfter'), 'notAfter')
  validity.end()
  const subject = decodeName(t.expect('subject', TAG.sequence).bytes, 'subject')
  const publicKeyInfo = t.expect('subjectPublicKeyInfo', TAG.sequence).bytes
  t.optional('issuerUniqueID', contextTagPrimitive(1))
  t.optional('subjectUniqueID', contextTagPrimitive(2))
  const extensions = t.optional('extensions', contextTag(3))
  t.end()
  return {
    bytes: all,
    fingerprint: digest('sha256', all),
    signedBytes: tbs.bytes,
    version,
    serial,
    signatureOid,
    signatureScheme: signatureScheme(signatureOid),
    signature,
    issuer,
    subject,
    notBefore,
    notAfter,
    publicKeyInfo,
    publicKey: decodeSubjectPublicKey(publicKeyInfo),
    extensions: extensions === undefined ? NO_EXTENSIONS : readExtensions(extensions.content),
  }
}

/**
 * Size that the outer SEQUENCE at the start of `bytes` claims, header included; may exceed what is there.
 * @throws EndorsementError CERT_MALFORMED when there is no such header
 */
export function certificateSize(bytes: Uint8Array): number {
  const lengthOctet = bytes[1]
  if (bytes[0] !== TAG.sequence || lengthOctet === undefined) {
    throw new EndorsementError('CERT_MALFORMED', 'does not start as a DER SEQUENCE, as a certificate must')
  }
  const octets = lengthOctet < 0x80 ? 0 : lengthOctet & 0x7f
  if (lengthOctet === 0x80 || octets > 4 || bytes.length < 2 + octets) {
    throw new EndorsementError('CERT_MALFORMED', 'outer SEQUENCE has an indefinite, oversized or cut length')
  }
  if (octets === 0) return 2 + lengthOctet
  let length = 0
  for (const b of bytes.subarray(2, 2 + octets)) length = length * 256 + b
  return 2 + octets + length
}

/** Version is 1 when absent. Numbers other than 1 to 3 are kept: the EK rules refuse them. */
function readVersion(t: DerReader): number {
  const explicit = t.optional('version', contextTag(0))
  if (explicit === undefined) return 1
  const r = new DerReader(explicit.content, 'TBSCertificate.version')
  const version = smallInteger(r.expect('value', TAG.integer).content, 'TBSCertificate.version') + 1
  r.end()
  return version
}

/** Issuer and subject are the same name: a root, or a CA's certificate for its own next key. */
export function isSelfIssued(certificate: Certificate): boolean {
  return certificate.issuer.key === certificate.subject.key
}
