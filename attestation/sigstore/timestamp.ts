import { equalBytes } from '../base/index.ts'
import { bytesText, digest, importSpki, KeyError, verifySignature } from '../crypto/index.ts'
import { type Certificate, contextTag, DerReader, EndorsementError, oidText, TAG } from '../endorsement/index.ts'
import { pathAt } from './certificate-path.ts'
import { SigstoreError } from './errors.ts'
import { fingerprintOf } from './signing-key.ts'
import type { TrustedAuthority } from './trusted-root.ts'

const OID = {
  signedData: '1.2.840.113549.1.7.2',
  timestampInfo: '1.2.840.113549.1.9.16.1.4',
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  timeStamping: '1.3.6.1.5.5.7.3.8',
} as const
const HASHES: ReadonlyMap<string, 'sha256' | 'sha384' | 'sha512'> = new Map([
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
])
/** Signed and unsigned attributes, algorithms: a token has a handful of each. */
const MAX_ATTRIBUTES = 32

/**
 * The times at which timestamp authorities saw a signature (RFC 3161). Where none is trusted, timestamps say nothing.
 *
 * @param timestamps responses, each with a token
 * @param stamped what was stamped: the signature's bytes
 * @throws SigstoreError SIGSTORE_TIME_UNPROVEN for a token that is wrong or of an authority that is not trusted
 */
export function provenTimes(
  timestamps: readonly Uint8Array[],
  stamped: Uint8Array,
  authorities: readonly TrustedAuthority[],
): { readonly times: readonly Date[]; readonly anchors: readonly string[] } {
  const proven = authorities.length === 0 ? [] : timestamps.map((t) => proveTime(t, stamped, authorities))
  return { times: proven.map(({ time }) => time), anchors: proven.map(({ anchor }) => anchor) }
}

function proveTime(
  response: Uint8Array,
  stamped: Uint8Array,
  authorities: readonly TrustedAuthority[],
): { time: Date; anchor: string } {
  let token: Token
  try {
    token = readResponse(response)
  } catch (cause) {
    if (!(cause instanceof EndorsementError)) throw cause
    throw unproven(cause.message, cause)
  }
  const { imprint, time } = token
  if (!equalBytes(digest(imprint.hash, stamped), imprint.bytes)) throw unproven('it is of another signature')
  for (const authority of authorities) {
    const [leaf, ...issuers] = authority.chain
    if (!isSignedBy(token, leaf)) continue
    if (leaf.extensions.extKeyUsage?.includes(OID.timeStamping) !== true)
      throw unproven('its key is not for timestamps')
    const [first = leaf, ...rest] = issuers
    const path = pathAt(leaf, [], [{ ...authority, chain: [first, ...rest] }], time)
    return { time, anchor: fingerprintOf((path[path.length - 1] ?? leaf).bytes) }
  }
  throw unproven('it is of no authority of the trusted root')
}

interface Token {
  readonly imprint: { readonly hash: 'sha256' | 'sha384' | 'sha512'; readonly bytes: Uint8Array }
  readonly time: Date
  readonly hash: 'sha256' | 'sha384' | 'sha512'
  /** What the signature is over: the attributes as a SET. */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

/** TimeStampResp of RFC 3161 §2.4.2, with a CMS SignedData (RFC 5652 §5) of one signer. */
function readResponse(bytes: Uint8Array): Token {
  const outer = new DerReader(bytes, 'TimeStampResp')
  const response = outer.sequence('value')
  outer.end()
  const status = response.sequence('status').expect('status', TAG.integer).content
  if (status.length !== 1 || (status[0] ?? 9) > 1) throw unproven('the authority refused') // granted, grantedWithMods
  const contentInfo = response.sequence('timeStampToken')
  if (oidText(contentInfo.expect('contentType', TAG.oid).content) !== OID.signedData) throw unproven('it is not signed')
  const data = new DerReader(contentInfo.expect('content', contextTag(0)).content, 'content').sequence('SignedData')
  data.expect('version', TAG.integer)
  data.expect('digestAlgorithms', TAG.set)
  const encapsulated = data.sequence('encapContentInfo')
  if (oidText(encapsulated.expect('eContentType', TAG.oid).content) !== OID.timestampInfo) {
    throw unproven('it is signed, but no timestamp')
  }
  const explicit = new DerReader(encapsulated.expect('eContent', contextTag(0)).content, 'eContent')
  const info = explicit.expect('value', TAG.octetString).content
  data.optional('certificates', contextTag(0))
  data.optional('crls', contextTag(1))
  const signers = new DerReader(data.expect('signerInfos', TAG.set).content, 'signerInfos')
  const signer = readSigner(signers.sequence('signerInfo'), info)
  signers.end()
  return { ...readInfo(info), ...signer }
}

function readSigner(r: DerReader, info: Uint8Array): Pick<Token, 'hash' | 'signed' | 'signature'> {
  r.expect('version', TAG.integer)
  r.read('sid') // the key is one of the trusted root, whatever this says
  const hash = readHash(r.sequence('digestAlgorithm'))
  const attributes = r.expect('signedAttrs', contextTag(0))
  checkAttributes(new DerReader(attributes.content, 'signedAttrs'), digest(hash, info))
  r.sequence('signatureAlgorithm')
  const signed = Uint8Array.from(attributes.bytes)
  signed[0] = TAG.set // RFC 5652 §5.4: signed with this tag, sent with the other
  return { hash, signed, signature: r.expect('signature', TAG.octetString).content }
}

/** RFC 5652 §5.4: content type and message digest are among what is signed. */
function checkAttributes(r: DerReader, digestOfInfo: Uint8Array): void {
  const found = new Map<string, Uint8Array>()
  while (!r.done) {
    if (found.size === MAX_ATTRIBUTES) throw unproven('too many attributes')
    const attribute = r.sequence('attribute')
    const id = oidText(attribute.expect('attrType', TAG.oid).content)
    const values = new DerReader(attribute.expect('attrValues', TAG.set).content, 'attrValues')
    if (found.has(id)) throw unproven('an attribute occurs twice')
    found.set(id, values.read('value').content)
  }
  const type = found.get(OID.contentType)
  if (type === undefined || oidText(type) !== OID.timestampInfo) throw unproven('its content type is not signed')
  const signedDigest = found.get(OID.messageDigest)
  if (signedDigest === undefined || !equalBytes(signedDigest, digestOfInfo)) throw unproven('its content was changed')
}

/** TSTInfo of RFC 3161 §2.4.2. */
function readInfo(info: Uint8Array): Pick<Token, 'imprint' | 'time'> {
  const r = new DerReader(info, 'TSTInfo').sequence('value')
  r.expect('version', TAG.integer)
  r.expect('policy', TAG.oid)
  const imprint = r.sequence('messageImprint')
  const hash = readHash(imprint.sequence('hashAlgorithm'))
  const bytes = imprint.expect('hashedMessage', TAG.octetString).content
  r.expect('serialNumber', TAG.integer)
  return { imprint: { hash, bytes }, time: readTime(r.expect('genTime', TAG.generalizedTime).content) }
}

function readHash(algorithm: DerReader): 'sha256' | 'sha384' | 'sha512' {
  const hash = HASHES.get(oidText(algorithm.expect('algorithm', TAG.oid).content))
  if (hash === undefined) throw unproven('it uses a hash that is not accepted')
  return hash
}

function readTime(content: Uint8Array): Date {
  const text = content.length > 32 ? '' : bytesText(content)
  const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d+)?Z$/.exec(text) ?? []
  const time = new Date(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`)
  if (Number.isNaN(time.getTime())) throw unproven('its time is none')
  return time
}

function isSignedBy({ hash, signed, signature }: Token, leaf: Certificate): boolean {
  try {
    const key = importSpki(leaf.publicKeyInfo)
    return verifySignature(key, { alg: key.kind === 'ec' ? 'ecdsa' : 'rsassa', hash, bytes: signature }, signed)
  } catch (err) {
    if (err instanceof KeyError) return false // a key that signs nothing here
    throw err
  }
}

function unproven(why: string, cause?: unknown): SigstoreError {
  return new SigstoreError('SIGSTORE_TIME_UNPROVEN', `timestamp: ${why}`, { cause })
}
