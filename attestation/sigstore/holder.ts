import { fromUtf8 } from '../base/index.ts'
import {
  type Certificate,
  contextTag,
  contextTagPrimitive,
  DerReader,
  EndorsementError,
  EXT,
  oidText,
  TAG,
} from '../endorsement/index.ts'
import { SigstoreError } from './errors.ts'

/** Whom a signing certificate names, and who says so. */
export interface Holder {
  /** The OpenID Connect issuer that Fulcio asked. */
  readonly issuer: string
  /** E-mail address, URI or user name, exactly as in the certificate. */
  readonly subject: string
}

/** Fulcio's extensions (fulcio, docs/oid-info.md). */
const FULCIO = {
  issuerV1: '1.3.6.1.4.1.57264.1.1',
  issuerV2: '1.3.6.1.4.1.57264.1.8',
  userName: '1.3.6.1.4.1.57264.1.7',
} as const
const CODE_SIGNING = '1.3.6.1.5.5.7.3.3'
const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXT.keyUsage,
  EXT.extKeyUsage,
  EXT.basicConstraints,
  EXT.subjectAltName,
  ...Object.values(FULCIO),
])

/**
 * Reads whom a certificate is about, and checks that it is one for signing.
 * @throws SigstoreError SIGSTORE_CERTIFICATE_UNTRUSTED
 */
export function readHolder(certificate: Certificate): Holder {
  const { critical, keyUsage, extKeyUsage, basicConstraints, values } = certificate.extensions
  const unknown = [...critical].find((oid) => !UNDERSTOOD.has(oid))
  if (unknown !== undefined) throw untrusted(`its critical extension ${unknown} is not understood`)
  if (basicConstraints?.ca === true) throw untrusted('it is a CA')
  if (keyUsage?.has('digitalSignature') !== true) throw untrusted('its key usage is not digitalSignature')
  if (extKeyUsage?.includes(CODE_SIGNING) !== true) throw untrusted('it is not for code signing')
  try {
    return { issuer: readIssuer(values), subject: readSubject(values.get(EXT.subjectAltName)) }
  } catch (cause) {
    if (!(cause instanceof EndorsementError || cause instanceof TypeError)) throw cause
    throw untrusted('issuer or subject cannot be read', cause)
  }
}

function readIssuer(values: ReadonlyMap<string, Uint8Array>): string {
  const [v1, v2] = [values.get(FULCIO.issuerV1), values.get(FULCIO.issuerV2)]
  const older = v1 && fromUtf8(v1) // the text itself, without an ASN.1 type around it
  const newer = v2 && readText(v2, 'issuer')
  const issuer = newer ?? older
  if (issuer === undefined || !/^[\x21-\x7e]{1,200}$/.test(issuer))
    throw untrusted('it says not who vouches for its holder')
  if (older !== undefined && older !== issuer) throw untrusted('it names two issuers')
  return issuer
}

function readText(value: Uint8Array, what: string): string {
  const r = new DerReader(value, what)
  const text = fromUtf8(r.expect('value', TAG.utf8String).content)
  r.end()
  return text
}

function readSubject(san: Uint8Array | undefined): string {
  if (san === undefined) throw untrusted('it has no subject alternative name')
  const outer = new DerReader(san, 'subjectAltName')
  const names = outer.sequence('value')
  outer.end()
  const { tag, content } = names.read('generalName')
  if (!names.done) throw untrusted('it names several holders')
  const subject =
    tag === RFC822_NAME || tag === URI ? fromUtf8(content) : tag === contextTag(0) ? readUserName(content) : ''
  if (subject === '' || subject.length > 300 || /[\p{Cc}\p{Zl}\p{Zp}\s]/u.test(subject)) {
    throw untrusted('its holder is neither an e-mail address, nor a URI, nor a user name')
  }
  return subject
}

const RFC822_NAME = contextTagPrimitive(1)
const URI = contextTagPrimitive(6)

function readUserName(otherName: Uint8Array): string {
  const r = new DerReader(otherName, 'otherName')
  if (oidText(r.expect('type-id', TAG.oid).content) !== FULCIO.userName) return ''
  return readText(r.expect('value', contextTag(0)).content, 'otherName')
}

function untrusted(why: string, cause?: unknown): SigstoreError {
  return new SigstoreError('SIGSTORE_CERTIFICATE_UNTRUSTED', `the signing certificate: ${why}`, { cause })
}
