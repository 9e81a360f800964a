import { toHex } from '../base/index.ts'
import { type CertificateSignatureScheme, digest } from '../crypto/index.ts'
import { certificateSize } from './certificate.ts'
import {
  booleanValue,
  contextTag,
  contextTagPrimitive,
  DerReader,
  oidText,
  smallInteger,
  TAG,
  wholeOctets,
} from './der.ts'
import { type DistinguishedName, decodeName } from './distinguished-name.ts'
import { EndorsementError } from './errors.ts'
import { readAuthorityKeyId } from './extensions.ts'
import { CRL_EXT, EXT } from './oids.ts'
import { readSignatureAlgorithm, signatureScheme } from './signature-algorithm.ts'
import { decodeTime } from './time.ts'

/**
 * Largest CRL that is read. TPM makers revoke intermediates and a few batches; the largest known list has some 100 KB.
 */
export const MAX_CRL_BYTES = 4 << 20
/** Most entries; one of them has 20 bytes or more. */
export const MAX_CRL_ENTRIES = 100_000
const MAX_EXTENSIONS = 64

/**
 * An X.509 certificate revocation list as its issuer wrote it (RFC 5280 §5.1): a claim until a CA's key has verified
 * it.
 */
export interface RevocationList {
  readonly bytes: Uint8Array
  /** SHA-256 of `bytes`. */
  readonly fingerprint: Uint8Array
  /** TBSCertList as received: what the signature is over. */
  readonly signedBytes: Uint8Array
  readonly signatureOid: string
  readonly signatureScheme: CertificateSignatureScheme | undefined
  readonly signature: Uint8Array
  readonly issuer: DistinguishedName
  readonly authorityKeyId: Uint8Array | undefined
  /**
   * It is one of several: of one distribution point, one kind of certificate or some reasons. Who is not in it may be
   * in another.
   */
  readonly partial: boolean
  readonly thisUpdate: Date
  /** Absent in CRLs that say nothing of their successor; such a one never counts as stale. */
  readonly nextUpdate: Date | undefined
  /** By the serial number's octets in hex. */
  readonly revoked: ReadonlyMap<string, Revocation>
}

export interface Revocation {
  readonly at: Date
  /** CRLReason in words, where the CRL gives one. */
  readonly reason: string | undefined
}

const REASONS: readonly (string | undefined)[] = [
  'unspecified',
  'keyCompromise',
  'cACompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'certificateHold',
  undefined,
  'removeFromCRL',
  'privilegeWithdrawn',
  'aACompromise',
]

/** Do these bytes start as a CRL does? Told from a certificate by the time where that has a SEQUENCE. Total. */
export function isRevocationList(bytes: Uint8Array): boolean {
  try {
    const tbs = new DerReader(new DerReader(bytes, 'bytes').expect('value', TAG.sequence).content, 'bytes').sequence(
      'tbs',
    )
    tbs.optional('version', TAG.integer)
    tbs.expect('signature', TAG.sequence)
    tbs.expect('issuer', TAG.sequence)
    const { tag } = tbs.read('thisUpdate')
    return tag === TAG.utcTime || tag === TAG.generalizedTime
  } catch (err) {
    if (!(err instanceof EndorsementError)) throw err
    return false
  }
}

/**
 * Reads one CRL, with the leniency of decodeCertificate(), and believes nothing. Bytes after it are ignored.
 *
 * @throws EndorsementError CERT_MALFORMED, CERT_TOO_LARGE; CRL_UNSUPPORTED for a delta or an indirect CRL
 */
export function decodeRevocationList(bytes: Uint8Array): RevocationList {
  const size = certificateSize(bytes)
  if (size > MAX_CRL_BYTES) {
    throw new EndorsementError('CERT_TOO_LARGE', `CRL says it has ${size} bytes, at most ${MAX_CRL_BYTES} are read`)
  }
  const { bytes: all, content } = new DerReader(bytes.slice(0, size), 'CertificateList').expect('value', TAG.sequence)
  const r = new DerReader(content, 'CertificateList')
  const tbs = r.expect('tbsCertList', TAG.sequence)
  const outerAlgorithm = readSignatureAlgorithm(r.sequence('signatureAlgorithm'))
  const signature = wholeOctets(r.expect('signatureValue', TAG.bitString).content, 'signatureValue')
  r.end()

  const t = new DerReader(tbs.content, 'TBSCertList')
  t.optional('version', TAG.integer)
  const signatureOid = readSignatureAlgorithm(t.sequence('signature'))
  if (signatureOid !== outerAlgorithm) {
    throw new EndorsementError('CERT_MALFORMED', 'CRL names two signature algorithms (RFC 5280 §5.1.1.2)')
  }
  const issuer = decodeName(t.expect('issuer', TAG.sequence).bytes, 'issuer')
  const thisUpdate = decodeTime(t.read('thisUpdate'), 'thisUpdate')
  const next = t.optional('nextUpdate', TAG.utcTime) ?? t.optional('nextUpdate', TAG.generalizedTime)
  const entries = t.optional('revokedCertificates', TAG.sequence)
  const extensions = t.optional('crlExtensions', contextTag(0))
  t.end()
  return {
    bytes: all,
    fingerprint: digest('sha256', all),
    signedBytes: tbs.bytes,
    signatureOid,
    signatureScheme: signatureScheme(signatureOid),
    signature,
    issuer,
    ...(extensions === undefined
      ? { authorityKeyId: undefined, partial: false }
      : readCrlExtensions(extensions.content)),
    thisUpdate,
    nextUpdate: next && decodeTime(next, 'nextUpdate'),
    revoked: entries === undefined ? new Map() : readEntries(entries.content),
  }
}

function readEntries(content: Uint8Array): ReadonlyMap<string, Revocation> {
  const revoked = new Map<string, Revocation>()
  const list = new DerReader(content, 'revokedCertificates')
  while (!list.done) {
    if (revoked.size === MAX_CRL_ENTRIES) {
      throw new EndorsementError('CERT_TOO_LARGE', `CRL has more than ${MAX_CRL_ENTRIES} entries`)
    }
    const entry = list.sequence('entry')
    const serial = toHex(entry.expect('userCertificate', TAG.integer).content)
    const at = decodeTime(entry.read('revocationDate'), 'revocationDate')
    let reason: string | undefined
    if (!entry.done) {
      for (const { oid, critical, value } of readList(entry.sequence('crlEntryExtensions'))) {
        if (oid === CRL_EXT.reason) reason = readReason(value)
        else if (critical) throw unsupported(`entry with critical extension ${oid}`) // certificateIssuer: an indirect CRL
      }
    }
    entry.end()
    revoked.set(serial, { at, reason })
  }
  return revoked
}

const ENUMERATED = 0x0a

function readReason(value: Uint8Array): string | undefined {
  const code = smallInteger(new DerReader(value, 'cRLReason').expect('value', ENUMERATED).content, 'cRLReason')
  return REASONS[code]
}

/** The key identifier of the issuer, and whether the list is one of several. */
function readCrlExtensions(content: Uint8Array): Pick<RevocationList, 'authorityKeyId' | 'partial'> {
  const outer = new DerReader(content, 'crlExtensions')
  const list = outer.sequence('list')
  outer.end()
  let authorityKeyId: Uint8Array | undefined
  let partial = false
  for (const { oid, critical, value } of readList(list)) {
    switch (oid) {
      case EXT.authorityKeyIdentifier:
        authorityKeyId = readAuthorityKeyId(value)
        break
      case CRL_EXT.issuingDistributionPoint:
        partial = isPartial(value)
        break
      case CRL_EXT.deltaIndicator:
        throw unsupported('delta CRL')
      default:
        if (critical && oid !== CRL_EXT.number) throw unsupported(`critical extension ${oid}`)
    }
  }
  return { authorityKeyId, partial }
}

/**
 * A CRL of one kind of certificate or reason still says truly what it lists; an indirect one lists those of other
 * issuers.
 */
function isPartial(value: Uint8Array): boolean {
  const r = new DerReader(value, 'issuingDistributionPoint').sequence('value')
  let partial = false
  while (!r.done) {
    const { tag, content } = r.read('field')
    if (tag !== contextTagPrimitive(4)) partial = true
    else if (booleanValue(content, 'indirectCRL')) throw unsupported('indirect CRL')
  }
  return partial
}

function* readList(
  list: DerReader,
): Generator<{ readonly oid: string; readonly critical: boolean; readonly value: Uint8Array }> {
  for (let count = 0; !list.done; count++) {
    if (count === MAX_EXTENSIONS) {
      throw new EndorsementError('CERT_TOO_LARGE', `CRL has more than ${MAX_EXTENSIONS} extensions in one place`)
    }
    const r = list.sequence('extension')
    const oid = oidText(r.expect('extnID', TAG.oid).content)
    const flag = r.optional('critical', TAG.boolean)
    const value = r.expect('extnValue', TAG.octetString).content
    r.end()
    yield { oid, critical: flag !== undefined && booleanValue(flag.content, `critical of ${oid}`), value }
  }
}

const unsupported = (what: string): EndorsementError =>
  new EndorsementError('CRL_UNSUPPORTED', `${what} is not read; use the issuer's complete CRL`)
