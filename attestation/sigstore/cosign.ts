import { fromHex } from '../base/index.ts'
import type { Bundle, LogEntry } from './bundle.ts'
import { malformed } from './errors.ts'
import { parseLogBody } from './log-body.ts'
import { base64Bytes, type Members, parseMembers, pemBytes } from './members.ts'
import { readCertificate } from './trusted-root.ts'

/** What cosign writes beside a payload, before bundles (cosign, SIGNATURE_SPEC): annotations of a layer. */
export type CosignAnnotations = ReadonlyMap<string, string>

const NAMES = {
  signature: 'dev.cosignproject.cosign/signature',
  certificate: 'dev.sigstore.cosign/certificate',
  chain: 'dev.sigstore.cosign/chain',
  bundle: 'dev.sigstore.cosign/bundle',
  timestamp: 'dev.sigstore.cosign/rfc3161timestamp',
} as const

/**
 * The same as a bundle with a message signature, whose artifact is the payload.
 * @returns undefined where there is no signature
 * @throws SigstoreError SIGSTORE_MALFORMED, SIGSTORE_UNSUPPORTED
 */
export function bundleOfAnnotations(annotations: CosignAnnotations): Bundle | undefined {
  const signature = annotations.get(NAMES.signature)
  if (signature === undefined) return undefined
  const given = (name: string): string | undefined => annotations.get(name) || undefined // cosign writes empty ones
  const [certificate, bundle, timestamp] = [given(NAMES.certificate), given(NAMES.bundle), given(NAMES.timestamp)]
  const parse = (text: string, what: string): Members => parseMembers(new TextEncoder().encode(text), what)
  return {
    certificates: [certificate, ...pemBlocks(certificate && given(NAMES.chain))].flatMap((pem) =>
      pem === undefined ? [] : [readCertificate(pemBytes(pem, NAMES.certificate))],
    ),
    entries: bundle === undefined ? [] : [readEntry(parse(bundle, NAMES.bundle))],
    timestamps: timestamp === undefined ? [] : [parse(timestamp, NAMES.timestamp).bytes('SignedRFC3161Timestamp')],
    content: { kind: 'message', signature: base64Bytes(signature, NAMES.signature) },
  }
}

const MAX_CHAIN = 8

function pemBlocks(text: string | undefined): readonly string[] {
  const blocks = text?.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g) ?? []
  if (blocks.length > MAX_CHAIN) throw malformed(`${NAMES.chain}: more than ${MAX_CHAIN} certificates`)
  return blocks
}

function readEntry(bundle: Members): LogEntry {
  const payload = bundle.object('Payload')
  const logId = payload.text('logID')
  if (!/^[0-9a-f]{64}$/.test(logId)) throw malformed(`${NAMES.bundle}: logID is not hex of a SHA-256`)
  const body = payload.bytes('body')
  return {
    logIndex: payload.natural('logIndex'),
    logId: fromHex(logId),
    integratedTime: payload.natural('integratedTime'),
    kind: parseLogBody(body).kind,
    version: '',
    promise: bundle.bytes('SignedEntryTimestamp'),
    body,
  }
}
