import type { Certificate } from '../endorsement/index.ts'
import { malformed, SigstoreError } from './errors.ts'
import { base64Bytes, type Members, parseMembers } from './members.ts'
import { readCertificate } from './trusted-root.ts'

/** A signature with what it takes to verify it, as sent: nothing is believed. */
export interface Bundle {
  /** Certificates with the signer's first; none for a bare key, which the verifier has to know. */
  readonly certificates: readonly Certificate[]
  readonly entries: readonly LogEntry[]
  /** RFC 3161 responses. */
  readonly timestamps: readonly Uint8Array[]
  readonly content: MessageSignature | Envelope
}

export interface MessageSignature {
  readonly kind: 'message'
  readonly signature: Uint8Array
}

/** A DSSE envelope of one signature. */
export interface Envelope {
  readonly kind: 'dsse'
  readonly payloadType: string
  readonly payload: Uint8Array
  readonly signature: Uint8Array
}

/** One entry of a signature log. */
export interface LogEntry {
  readonly logIndex: bigint
  /** SHA-256 of the log's key. */
  readonly logId: Uint8Array
  /** Seconds; 0 where the log states no time. */
  readonly integratedTime: bigint
  readonly kind: string
  readonly version: string
  /** The signed entry timestamp. */
  readonly promise?: Uint8Array
  readonly proof?: {
    readonly index: bigint
    readonly treeSize: bigint
    readonly root: Uint8Array
    readonly path: readonly Uint8Array[]
    readonly checkpoint: string
  }
  /** What the log hashed: the canonical JSON of the entry. */
  readonly body: Uint8Array
}

const MEDIA_TYPE = /^application\/vnd\.dev\.sigstore\.bundle(?:\+json;version=0\.([123])|\.v0\.(3)(?:\.[0-9]+)?\+json)$/
const MAX_ENTRIES = 8
const MAX_PATH = 64

/**
 * Reads a Sigstore bundle of version 0.1, 0.2 or 0.3 (protobuf-specs, sigstore_bundle.proto), as JSON.
 * @throws SigstoreError SIGSTORE_MALFORMED, SIGSTORE_UNSUPPORTED
 */
export function parseBundle(bytes: Uint8Array): Bundle {
  const bundle = parseMembers(bytes, 'bundle')
  const mediaType = bundle.text('mediaType')
  const [, older, newer] = MEDIA_TYPE.exec(mediaType) ?? []
  if (older === undefined && newer === undefined) {
    throw new SigstoreError('SIGSTORE_UNSUPPORTED', `'${mediaType.slice(0, 80)}' is no bundle of version 0.1 to 0.3`)
  }
  const material = bundle.object('verificationMaterial')
  const entries = material.objects('tlogEntries', MAX_ENTRIES).map(readEntry)
  if (older !== '1' && entries.some((entry) => entry.proof === undefined)) {
    throw malformed('bundle: an entry without inclusionProof, which is allowed in version 0.1 only')
  }
  return {
    certificates: readCertificates(material),
    entries,
    timestamps: readTimestamps(material),
    content: readContent(bundle),
  }
}

function readCertificates(material: Members): readonly Certificate[] {
  const given = ['certificate', 'x509CertificateChain', 'publicKey'].filter((name) => material.has(name))
  if (given.length !== 1) throw malformed('bundle.verificationMaterial: not exactly one of certificate and key')
  switch (given[0]) {
    case 'certificate':
      return [readCertificate(material.object('certificate').bytes('rawBytes'))]
    case 'x509CertificateChain': {
      const chain = material.object('x509CertificateChain').objects('certificates', 8)
      if (chain.length === 0) throw malformed('bundle: a chain without a certificate')
      return chain.map((c) => readCertificate(c.bytes('rawBytes')))
    }
    default:
      return []
  }
}

function readTimestamps(material: Members): readonly Uint8Array[] {
  if (!material.has('timestampVerificationData')) return []
  const data = material.object('timestampVerificationData')
  return data.objects('rfc3161Timestamps', MAX_ENTRIES).map((t) => t.bytes('signedTimestamp'))
}

function readEntry(entry: Members): LogEntry {
  const { kind, version } = entry.has('kindVersion')
    ? { kind: entry.object('kindVersion').text('kind'), version: entry.object('kindVersion').text('version') }
    : { kind: '', version: '' }
  return {
    logIndex: entry.natural('logIndex'),
    logId: entry.object('logId').bytes('keyId'),
    integratedTime: entry.natural('integratedTime'),
    kind,
    version,
    ...(entry.has('inclusionPromise') && { promise: entry.object('inclusionPromise').bytes('signedEntryTimestamp') }),
    ...(entry.has('inclusionProof') && { proof: readProof(entry.object('inclusionProof')) }),
    body: entry.bytes('canonicalizedBody'),
  }
}

function readProof(proof: Members): NonNullable<LogEntry['proof']> {
  return {
    index: proof.natural('logIndex'),
    treeSize: proof.natural('treeSize'),
    root: proof.bytes('rootHash'),
    path: proof.texts('hashes', MAX_PATH).map((text, i) => base64Bytes(text, `hash ${i} of an inclusion proof`)),
    checkpoint: proof.object('checkpoint').text('envelope'),
  }
}

function readContent(bundle: Members): MessageSignature | Envelope {
  if (bundle.has('messageSignature') === bundle.has('dsseEnvelope')) {
    throw malformed('bundle: not exactly one of messageSignature and dsseEnvelope')
  }
  if (bundle.has('messageSignature')) {
    // its messageDigest is a hint only: what was signed is at hand
    return { kind: 'message', signature: bundle.object('messageSignature').bytes('signature') }
  }
  const envelope = bundle.object('dsseEnvelope')
  const [only, ...more] = envelope.objects('signatures', 16)
  if (only === undefined || more.length > 0) throw malformed('bundle.dsseEnvelope: not exactly one signature')
  return {
    kind: 'dsse',
    payloadType: envelope.text('payloadType'),
    payload: envelope.bytes('payload'),
    signature: only.bytes('sig'),
  }
}
