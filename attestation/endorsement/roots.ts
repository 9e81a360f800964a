import { messageOf, toHex } from '../base/index.ts'
import {
  type Certificate,
  certificateSize,
  decodeCertificate,
  isSelfIssued,
  MAX_CERTIFICATE_BYTES,
} from './certificate.ts'
import { EndorsementError } from './errors.ts'

/** Largest bundle that is read. All 221 vendor CA certificates known in 2026 have 0.3 MB as PEM. */
export const MAX_BUNDLE_BYTES = 16 << 20
/** Most certificates in a bundle. */
export const MAX_BUNDLE_CERTIFICATES = 20_000

/** Certificates of a file or an NV index. What could not be read is listed, never dropped silently. */
export interface CertificateBundle {
  readonly certificates: readonly Certificate[]
  readonly problems: readonly BundleProblem[]
}

export interface BundleProblem {
  /** Which entry of the bundle, from 0. */
  readonly entry: number
  readonly message: string
}

/**
 * Certificates in PEM (text between them is ignored) or DER, one after another, padded with 00, FF or line feeds.
 *
 * @param limit most certificates to read
 * @throws EndorsementError CERT_TOO_LARGE when the bundle as a whole exceeds a limit
 */
export function parseCertificateBundle(bytes: Uint8Array, limit = MAX_BUNDLE_CERTIFICATES): CertificateBundle {
  if (bytes.length > MAX_BUNDLE_BYTES) {
    throw new EndorsementError(
      'CERT_TOO_LARGE',
      `bundle of ${bytes.length} bytes, at most ${MAX_BUNDLE_BYTES} are read`,
    )
  }
  const certificates: Certificate[] = []
  const problems: BundleProblem[] = []
  let entry = 0
  for (const part of bytes[0] === 0x30 ? derParts(bytes) : pemParts(bytes)) {
    if (entry === limit) throw new EndorsementError('CERT_TOO_LARGE', `bundle has more than ${limit} certificates`)
    if (part instanceof EndorsementError) problems.push({ entry, message: part.message })
    else {
      try {
        certificates.push(decodeCertificate(part))
      } catch (err) {
        if (!(err instanceof EndorsementError)) throw err
        problems.push({ entry, message: messageOf(err) })
      }
    }
    entry++
  }
  if (entry === 0) problems.push({ entry, message: 'no certificate found: neither PEM nor DER' })
  return { certificates, problems }
}

/** Whole certificates of a run of DER; the last part is an error when something else follows them. */
function* derParts(bytes: Uint8Array): Generator<Uint8Array | EndorsementError> {
  let at = 0
  for (;;) {
    while (at < bytes.length && FILLER.has(bytes[at])) at++
    if (at === bytes.length) return
    const rest = bytes.subarray(at)
    let size: number
    try {
      size = certificateSize(rest)
    } catch (err) {
      if (!(err instanceof EndorsementError)) throw err
      yield new EndorsementError('CERT_MALFORMED', `at offset ${at}: ${err.message}`, { cause: err })
      return
    }
    yield rest.subarray(0, size)
    at += Math.min(size, rest.length)
  }
}

const FILLER: ReadonlySet<number | undefined> = new Set([0x00, 0xff, 0x0a, 0x0d, 0x20])
const BEGIN = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/g
const END = '-----END '
/** Base64 of the largest certificate, with line ends and room for explanatory blanks. */
const MAX_PEM_BODY = 2 * MAX_CERTIFICATE_BYTES

function* pemParts(bytes: Uint8Array): Generator<Uint8Array | EndorsementError> {
  const text = new TextDecoder('latin1').decode(bytes) // one character a byte, so that offsets are those of the file
  for (const begin of text.matchAll(BEGIN)) {
    const start = begin.index + begin[0].length
    const body = text.slice(start, start + MAX_PEM_BODY)
    const end = body.indexOf(END)
    yield end < 0
      ? new EndorsementError(
          'CERT_TOO_LARGE',
          `PEM block at offset ${begin.index} has no end within ${MAX_PEM_BODY} bytes`,
        )
      : decodeBase64(body.slice(0, end), begin.index)
  }
}

function decodeBase64(text: string, offset: number): Uint8Array | EndorsementError {
  let binary: string
  try {
    binary = atob(text) // of the Web platform: takes white space, refuses other characters
  } catch (cause) {
    return new EndorsementError('CERT_MALFORMED', `PEM block at offset ${offset} is not base64`, { cause })
  }
  return Uint8Array.from(binary, (c) => c.charCodeAt(0))
}

/** The CAs an operator trusts to endorse TPMs, and intermediates that help to reach them. */
export interface RootStore {
  /** Hex fingerprints of `anchors`. */
  readonly anchorFingerprints: ReadonlySet<string>
  /** By key of the subject name. */
  readonly anchors: ReadonlyMap<string, readonly Certificate[]>
  readonly intermediates: ReadonlyMap<string, readonly Certificate[]>
}

/**
 * @param anchors trusted as they are, self-signed or not: a path may end at any of them
 * @param intermediates not trusted themselves; only used where a path needs them
 */
export function makeRootStore(anchors: readonly Certificate[], intermediates: readonly Certificate[] = []): RootStore {
  return {
    anchorFingerprints: new Set(anchors.map((a) => toHex(a.fingerprint))),
    anchors: bySubject(anchors),
    intermediates: bySubject(intermediates),
  }
}

/** A store of what a bundle holds: self-issued certificates are anchors, the others intermediates. */
export function makeRootStoreOfBundle(certificates: readonly Certificate[]): RootStore {
  return makeRootStore(
    certificates.filter((c) => isSelfIssued(c)),
    certificates.filter((c) => !isSelfIssued(c)),
  )
}

/** Certificates by key of their subject, doubles left out. */
export function bySubject(certificates: readonly Certificate[]): ReadonlyMap<string, readonly Certificate[]> {
  const map = new Map<string, Certificate[]>()
  const seen = new Set<string>()
  for (const c of certificates) {
    const id = toHex(c.fingerprint)
    if (seen.has(id)) continue
    seen.add(id)
    const { key } = c.subject
    const same = map.get(key)
    if (same === undefined) map.set(key, [c])
    else same.push(c)
  }
  return map
}
