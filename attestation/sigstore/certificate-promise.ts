import { concatBytes, equalBytes } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import { type Certificate, contextTag, DerReader, EndorsementError, oidText, TAG } from '../endorsement/index.ts'
import { SigstoreError } from './errors.ts'
import { type SigningKey, verifyMessage } from './signing-key.ts'
import { isWithin, type TrustedLog } from './trusted-root.ts'

/** Embedded signed certificate timestamps (RFC 6962 §3.3). */
const SCT_LIST = '1.3.6.1.4.1.11129.2.4.2'
const MAX_PROMISES = 16

/**
 * Verifies that a trusted certificate transparency log has promised to log the certificate (RFC 6962 §3.2): one of the
 * timestamps in it, over what the CA had before they were put in.
 *
 * @returns the log's key
 * @throws SigstoreError SIGSTORE_CERTIFICATE_UNLOGGED
 */
export function provePromise(leaf: Certificate, issuer: Certificate, logs: readonly TrustedLog[]): SigningKey {
  const value = leaf.extensions.values.get(SCT_LIST)
  if (value === undefined) throw unlogged('it carries no signed certificate timestamp')
  try {
    const list = new DerReader(value, 'signed certificate timestamps')
    const promises = readPromises(list.expect('list', TAG.octetString).content)
    list.end()
    const tbs = withoutExtension(leaf.signedBytes, SCT_LIST)
    for (const promise of promises) {
      const log = logs.find(({ key }) => equalBytes(digest('sha256', key.spki), promise.logId))
      if (log === undefined || !isWithin(log, promise.time)) continue
      if (verifyMessage(log.key, signedPart(promise, issuer, tbs), promise.signature)) return log.key
    }
  } catch (cause) {
    if (!(cause instanceof EndorsementError)) throw cause
    throw unlogged('its signed certificate timestamps cannot be read', cause)
  }
  throw unlogged('no timestamp in it is of a log that is trusted, and right')
}

interface CertificatePromise {
  readonly logId: Uint8Array
  readonly time: Date
  /** 8 bytes as they are signed. */
  readonly timestamp: Uint8Array
  readonly extensions: Uint8Array
  readonly signature: Uint8Array
}

/** SignedCertificateTimestampList: vectors of TLS, big-endian lengths in front. */
function readPromises(bytes: Uint8Array): readonly CertificatePromise[] {
  const outer = new TlsReader(bytes)
  const list = new TlsReader(outer.vector())
  outer.end()
  const promises: CertificatePromise[] = []
  while (!list.done) {
    if (promises.length === MAX_PROMISES) throw unlogged(`it has more than ${MAX_PROMISES} timestamps`)
    const r = new TlsReader(list.vector())
    const version = r.take(1)[0]
    const [logId, timestamp, extensions] = [r.take(32), r.take(8), r.vector()]
    const [hash, algorithm] = r.take(2)
    const signature = r.vector()
    r.end()
    const millis = new DataView(timestamp.buffer, timestamp.byteOffset, 8).getBigUint64(0)
    if (version !== 0 || hash !== SHA256 || (algorithm !== ECDSA && algorithm !== RSA)) continue // of another version
    promises.push({ logId, time: new Date(Number(millis)), timestamp, extensions, signature })
  }
  return promises
}

/** HashAlgorithm and SignatureAlgorithm of RFC 5246 §7.4.1.4.1. */
const SHA256 = 4
const RSA = 1
const ECDSA = 3

/** digitally-signed struct of RFC 6962 §3.2 with a PreCert (§3.1) as its entry. */
function signedPart(promise: CertificatePromise, issuer: Certificate, tbs: Uint8Array): Uint8Array {
  return concatBytes(
    Uint8Array.of(0, 0), // version v1, certificate_timestamp
    promise.timestamp,
    Uint8Array.of(0, 1), // precert_entry
    digest('sha256', issuer.publicKeyInfo),
    Uint8Array.of(tbs.length >> 16, (tbs.length >> 8) & 0xff, tbs.length & 0xff),
    tbs,
    Uint8Array.of(promise.extensions.length >> 8, promise.extensions.length & 0xff),
    promise.extensions,
  )
}

/** A TBSCertificate without one extension; the lengths around it are written anew, all else stays as it is. */
function withoutExtension(tbsBytes: Uint8Array, oid: string): Uint8Array {
  const outer = new DerReader(tbsBytes, 'TBSCertificate')
  const members = new DerReader(outer.expect('value', TAG.sequence).content, 'TBSCertificate')
  const parts: Uint8Array[] = []
  while (!members.done) {
    const member = members.read('member')
    parts.push(member.tag === contextTag(3) ? element(contextTag(3), filtered(member.content, oid)) : member.bytes)
  }
  return element(TAG.sequence, concatBytes(...parts))
}

function filtered(explicit: Uint8Array, oid: string): Uint8Array {
  const list = new DerReader(explicit, 'extensions').sequence('list')
  const kept: Uint8Array[] = []
  while (!list.done) {
    const { bytes, content } = list.expect('extension', TAG.sequence)
    const id = oidText(new DerReader(content, 'extension').expect('extnID', TAG.oid).content)
    if (id !== oid) kept.push(bytes)
  }
  return element(TAG.sequence, concatBytes(...kept))
}

/** Tag, shortest length (X.690 §10.1) and content. */
function element(tag: number, content: Uint8Array): Uint8Array {
  const n = content.length
  const length = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : n < 0x10000 ? [0x82, n >> 8, n & 0xff] : undefined
  if (length === undefined) throw unlogged('it is too large')
  return concatBytes(Uint8Array.of(tag, ...length), content)
}

class TlsReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at === this.#bytes.length
  }

  take(size: number): Uint8Array {
    if (size > this.#bytes.length - this.#at) throw unlogged('a timestamp in it is cut off')
    this.#at += size
    return this.#bytes.subarray(this.#at - size, this.#at)
  }

  /** opaque<0..2^16-1> */
  vector(): Uint8Array {
    const [high = 0, low = 0] = this.take(2)
    return this.take(high * 256 + low)
  }

  end(): void {
    if (!this.done) throw unlogged('a timestamp in it has bytes behind its end')
  }
}

function unlogged(why: string, cause?: unknown): SigstoreError {
  return new SigstoreError('SIGSTORE_CERTIFICATE_UNLOGGED', `the signing certificate: ${why}`, { cause })
}
