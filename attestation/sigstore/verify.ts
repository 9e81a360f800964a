import { toHex } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import type { Certificate } from '../endorsement/index.ts'
import type { Bundle, LogEntry } from './bundle.ts'
import { pathAt } from './certificate-path.ts'
import { provePromise } from './certificate-promise.ts'
import { SigstoreError } from './errors.ts'
import { type Holder, readHolder } from './holder.ts'
import { matchLogBody, parseLogBody, type SignedHere } from './log-body.ts'
import { type ProvenEntry, proveEntry } from './log-proof.ts'
import { fingerprintOf, importSigningKey, type SigningKey, verifyMessage } from './signing-key.ts'
import { parseStatement, preAuthenticationEncoding, type Statement } from './statement.ts'
import { provenTimes } from './timestamp.ts'
import type { TrustedLog, TrustedRoot } from './trusted-root.ts'

/** Who signed, as proven. */
export type ProvenSigner =
  | { readonly kind: 'certificate'; readonly holder: Holder }
  | { readonly kind: 'public-key'; readonly fingerprint: string }

/** A signature that holds; the verify functions below are its only makers. */
export interface VerifiedSignature {
  readonly signer: ProvenSigner
  /** When it was signed, as somebody trusted says; always there with a certificate. */
  readonly time?: Date
  /** `sha256:<hex>` of each root certificate and log key that was relied on. */
  readonly anchors: readonly string[]
  /** Of an in-toto statement about the artifact. */
  readonly predicateType?: string
}

/** What is signed. */
export interface Artifact {
  /** Its SHA-256, hex. */
  readonly sha256: string
  /** A message signature is over them, and cannot be verified without; a statement only has their digest. */
  readonly bytes?: Uint8Array
}

/** A bare key that is trusted, and the logs of which one must have the signature; none where it is empty. */
export interface KeyTrust {
  readonly key: SigningKey
  readonly logs: readonly TrustedLog[]
}

/**
 * Verifies a bundle signed with a certificate, offline: the time of signing, the certificate's path at that time, its
 * promise of a certificate log, the entry in the signature log and that it is about this signature, and the signature
 * over the artifact. Whether its holder may sign is for the caller to say.
 * Source: Sigstore Client Spec, "Verification".
 *
 * @throws SigstoreError
 */
export function verifyBundle(bundle: Bundle, artifact: Artifact, root: TrustedRoot): VerifiedSignature {
  const [leaf, ...supplied] = bundle.certificates
  if (leaf === undefined) {
    throw new SigstoreError('SIGSTORE_CERTIFICATE_UNTRUSTED', 'it is signed with a bare key, not a certificate')
  }
  const holder = readHolder(leaf)
  const here = signedHere(bundle, artifact, leaf.bytes)
  const entries = proveEntries(bundle.entries, root.logs, here)
  const [first] = entries
  if (first === undefined) throw new SigstoreError('SIGSTORE_ENTRY_UNPROVEN', 'it comes without an entry of a log')
  const stamped = provenTimes(bundle.timestamps, here.signature, root.timestampAuthorities)
  const times = [...entries.flatMap(({ time }) => time ?? []), ...stamped.times]
  const [time] = times
  if (time === undefined) {
    throw new SigstoreError('SIGSTORE_TIME_UNPROVEN', 'neither a log nor a timestamp authority says when it was signed')
  }
  // each of them: a certificate that had ended at one of these times was not the signer's then
  const [path = pathAt(leaf, supplied, root.authorities, time)] = times.map((t) =>
    pathAt(leaf, supplied, root.authorities, t),
  )
  const issuer = path[1] ?? leaf
  const promised = root.certificateLogs.length > 0 ? [provePromise(leaf, issuer, root.certificateLogs)] : []
  const { predicateType } = verifyContent(bundle, artifact, importSigningKey(leaf.publicKeyInfo))
  const authority: Certificate = path[path.length - 1] ?? leaf
  const logs = [...entries.map(({ log }) => log), ...promised].map((key) => key.fingerprint)
  return {
    signer: { kind: 'certificate', holder },
    time,
    anchors: [...new Set([fingerprintOf(authority.bytes), ...logs, ...stamped.anchors])],
    ...(predicateType !== undefined && { predicateType }),
  }
}

/** Verifies a bundle signed with a bare key. @throws SigstoreError */
export function verifyBundleByKey(bundle: Bundle, artifact: Artifact, { key, logs }: KeyTrust): VerifiedSignature {
  const here = signedHere(bundle, artifact, key.spki)
  const entries = logs.length === 0 ? [] : proveEntries(bundle.entries, logs, here)
  if (logs.length > 0 && entries.length === 0) {
    throw new SigstoreError('SIGSTORE_ENTRY_UNPROVEN', 'it comes without an entry of a log')
  }
  const { predicateType } = verifyContent(bundle, artifact, key)
  const time = entries[0]?.time
  return {
    signer: { kind: 'public-key', fingerprint: key.fingerprint },
    anchors: [...new Set(entries.map(({ log }) => log.fingerprint))],
    ...(time && { time }),
    ...(predicateType !== undefined && { predicateType }),
  }
}

function signedHere(bundle: Bundle, artifact: Artifact, verifier: Uint8Array): SignedHere {
  const { content } = bundle
  const bytes = content.kind === 'dsse' ? content.payload : bytesOf(artifact)
  return { kind: content.kind, bytes, signature: content.signature, verifier }
}

function bytesOf({ sha256, bytes }: Artifact): Uint8Array {
  if (bytes === undefined) throw new TypeError('a message signature is verified with the bytes of the artifact')
  if (toHex(digest('sha256', bytes)) !== sha256) throw new TypeError('the digest is not of these bytes')
  return bytes
}

/** Every entry has to hold: one that does not is no reason to look at another. */
function proveEntries(entries: readonly LogEntry[], logs: readonly TrustedLog[], here: SignedHere): ProvenEntry[] {
  return entries.map((entry) => {
    const logged = parseLogBody(entry.body)
    if (entry.kind !== '' && entry.kind !== logged.kind) {
      throw new SigstoreError('SIGSTORE_ENTRY_MISMATCH', `the entry is a ${logged.kind}, and said to be another kind`)
    }
    const proven = proveEntry(entry, logs)
    matchLogBody(logged, here)
    return proven
  })
}

/** The signature itself, and that it is about the artifact. */
function verifyContent(bundle: Bundle, artifact: Artifact, key: SigningKey): Partial<Statement> {
  const { content } = bundle
  const signed =
    content.kind === 'dsse' ? preAuthenticationEncoding(content.payloadType, content.payload) : bytesOf(artifact)
  if (!verifyMessage(key, signed, content.signature)) {
    throw new SigstoreError(
      'SIGSTORE_SIGNATURE_INVALID',
      `the signature is not of ${key.fingerprint} over this ${content.kind === 'dsse' ? 'statement' : 'artifact'}`,
    )
  }
  if (content.kind === 'message') return {}
  const statement = parseStatement(content.payloadType, content.payload)
  if (!statement.subjects.has(artifact.sha256)) {
    throw new SigstoreError('SIGSTORE_ARTIFACT_MISMATCH', `the statement is not about sha256:${artifact.sha256}`)
  }
  return statement
}
