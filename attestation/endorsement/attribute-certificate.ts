import { type CertificateSignatureScheme, digest } from '../crypto/index.ts'
import { certificateSize, MAX_CERTIFICATE_BYTES } from './certificate.ts'
import { contextTag, DerReader, smallInteger, TAG, wholeOctets } from './der.ts'
import { type DistinguishedName, decodeName } from './distinguished-name.ts'
import { EndorsementError } from './errors.ts'
import { type Extensions, NO_EXTENSIONS, readExtensionList } from './extensions.ts'
import { readSignatureAlgorithm, signatureScheme } from './signature-algorithm.ts'
import { decodeTime } from './time.ts'

/**
 * An X.509 attribute certificate, version 2 (RFC 5755 §4.1), with what platform certificates use of it. Claims, as in
 * Certificate.
 */
export interface AttributeCertificate {
  readonly bytes: Uint8Array
  /** SHA-256 of `bytes`. */
  readonly fingerprint: Uint8Array
  readonly signedBytes: Uint8Array
  /**
   * Issuer and serial number of the certificate that it is about; undefined where the holder is named in another way.
   */
  readonly holder: { readonly issuer: DistinguishedName; readonly serial: Uint8Array } | undefined
  readonly issuer: DistinguishedName
  readonly serial: Uint8Array
  readonly signatureOid: string
  readonly signatureScheme: CertificateSignatureScheme | undefined
  readonly signature: Uint8Array
  readonly notBefore: Date
  readonly notAfter: Date
  readonly extensions: Extensions
}

/**
 * Do these bytes start as an attribute certificate does? Its version, 1, is a bare INTEGER followed by the holder.
 * Total.
 */
export function isAttributeCertificate(bytes: Uint8Array): boolean {
  try {
    const outer = new DerReader(new DerReader(bytes, 'bytes').expect('value', TAG.sequence).content, 'bytes')
    const info = outer.sequence('acinfo')
    info.expect('version', TAG.integer)
    const holder = info.sequence('holder')
    return !holder.done && (holder.read('choice').tag & 0xc0) === 0x80 // context-specific, where an AlgorithmIdentifier has an OID
  } catch (err) {
    if (!(err instanceof EndorsementError)) throw err
    return false
  }
}

/**
 * Reads one attribute certificate, with the leniency of decodeCertificate(). Bytes after it are ignored.
 * @throws EndorsementError CERT_MALFORMED, CERT_TOO_LARGE
 */
export function decodeAttributeCertificate(bytes: Uint8Array): AttributeCertificate {
  const size = certificateSize(bytes)
  if (size > MAX_CERTIFICATE_BYTES) {
    throw new EndorsementError('CERT_TOO_LARGE', `attribute certificate says it has ${size} bytes`)
  }
  const outer = new DerReader(bytes.slice(0, size), 'AttributeCertificate').expect('value', TAG.sequence)
  const r = new DerReader(outer.content, 'AttributeCertificate')
  const info = r.expect('acinfo', TAG.sequence)
  const outerAlgorithm = readSignatureAlgorithm(r.sequence('signatureAlgorithm'))
  const signature = wholeOctets(r.expect('signatureValue', TAG.bitString).content, 'signatureValue')
  r.end()

  const t = new DerReader(info.content, 'AttributeCertificateInfo')
  const version = smallInteger(t.expect('version', TAG.integer).content, 'version')
  if (version !== 1)
    throw new EndorsementError('CERT_MALFORMED', `attribute certificate has version ${version}, wanted 1`)
  const holder = readHolder(t.sequence('holder'))
  const issuer = readV2Form(new DerReader(t.expect('issuer', contextTag(0)).content, 'issuer'))
  const signatureOid = readSignatureAlgorithm(t.sequence('signature'))
  if (signatureOid !== outerAlgorithm) {
    throw new EndorsementError('CERT_MALFORMED', 'attribute certificate names two signature algorithms')
  }
  const serial = t.expect('serialNumber', TAG.integer).content
  const validity = t.sequence('attrCertValidityPeriod')
  const notBefore = decodeTime(validity.read('notBeforeTime'), 'notBeforeTime')
  const notAfter = decodeTime(validity.read('notAfterTime'), 'notAfterTime')
  t.expect('attributes', TAG.sequence) // components and the like: not used
  t.optional('issuerUniqueID', TAG.bitString)
  const extensions = t.optional('extensions', TAG.sequence)
  t.end()
  return {
    bytes: outer.bytes,
    fingerprint: digest('sha256', outer.bytes),
    signedBytes: info.bytes,
    holder,
    issuer,
    serial,
    signatureOid,
    signatureScheme: signatureScheme(signatureOid),
    signature,
    notBefore,
    notAfter,
    extensions:
      extensions === undefined ? NO_EXTENSIONS : readExtensionList(new DerReader(extensions.content, 'extensions')),
  }
}

/** baseCertificateID of the holder: IssuerSerial (RFC 5755 §4.2.2). */
function readHolder(holder: DerReader): AttributeCertificate['holder'] {
  const base = holder.optional('baseCertificateID', contextTag(0))
  if (base === undefined) return undefined
  const r = new DerReader(base.content, 'baseCertificateID')
  const issuer = onlyDirectoryName(r.sequence('issuer'))
  return { issuer, serial: r.expect('serial', TAG.integer).content }
}

function readV2Form(form: DerReader): DistinguishedName {
  return onlyDirectoryName(form.sequence('issuerName'))
}

/** GeneralNames that must be one directoryName (RFC 5755 §4.2.3). */
function onlyDirectoryName(names: DerReader): DistinguishedName {
  const name = decodeName(names.expect('directoryName', contextTag(4)).content, 'directoryName')
  names.end()
  return name
}
