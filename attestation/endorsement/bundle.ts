import { messageOf } from '../base/index.ts'
import { type Certificate, certificateSize, decodeCertificate, MAX_CERTIFICATE_BYTES } from './certificate.ts'
import { decodeRevocationList, isRevocationList, MAX_CRL_BYTES, type RevocationList } from './crl.ts'
import { EndorsementError } from './errors.ts'

/** Largest bundle that is read. All 221 vendor CA certificates known in 2026 have 0.3 MB as PEM. */
export const MAX_BUNDLE_BYTES = 16 << 20
/** Most certificates in a bundle. */
const MAX_BUNDLE_CERTIFICATES = 20_000

/** Certificates and CRLs of a file or an NV index. What could not be read is listed, never dropped silently. */
export interface CertificateBundle {
  readonly certificates: readonly Certificate[]
  readonly crls: readonly RevocationList[]
  readonly problems: readonly BundleProblem[]
  /** All of these in order. */
  readonly entries: readonly BundleEntry[]
}

export interface BundleProblem {
  /** Which entry of the bundle, from 0. */
  readonly entry: number
  readonly message: string
}

/** One entry: a PEM block, or a DER value of a run of them. */
export interface BundleEntry {
  readonly item:
    | { readonly kind: 'certificate'; readonly certificate: Certificate }
    | { readonly kind: 'crl'; readonly crl: RevocationList }
    | { readonly kind: 'problem'; readonly message: string }
  /** Where it begins and ends in the file; text in front belongs to it. */
  readonly start: number
  readonly end: number
  /** Text in front of a PEM block, one character a byte; empty in DER. */
  readonly notes: string
}

/**
 * Certificates and CRLs in PEM or DER, one after another, padded with 00, FF or line feeds.
 *
 * @param limit most entries to read
 * @throws EndorsementError CERT_TOO_LARGE when the bundle as a whole exceeds a limit
 */
export function parseCertificateBundle(bytes: Uint8Array, limit = MAX_BUNDLE_CERTIFICATES): CertificateBundle {
  if (bytes.length > MAX_BUNDLE_BYTES) {
    throw new EndorsementError(
      'CERT_TOO_LARGE',
      `bundle of ${bytes.length} bytes, at most ${MAX_BUNDLE_BYTES} are read`,
    )
  }
  const entries: BundleEntry[] = []
  for (const { content, ...place } of bytes[0] === 0x30 ? derParts(bytes) : pemParts(bytes)) {
    if (entries.length === limit)
      throw new EndorsementError('CERT_TOO_LARGE', `bundle has more than ${limit} certificates`)
    entries.push({ ...place, item: content instanceof EndorsementError ? problem(content) : decode(content) })
  }
  const certificates: Certificate[] = []
  const crls: RevocationList[] = []
  const problems: BundleProblem[] = []
  entries.forEach(({ item }, entry) => {
    if (item.kind === 'certificate') certificates.push(item.certificate)
    else if (item.kind === 'crl') crls.push(item.crl)
    else problems.push({ entry, message: item.message })
  })
  if (entries.length === 0) problems.push({ entry: 0, message: 'no certificate found: neither PEM nor DER' })
  return { certificates, crls, problems, entries }
}

function decode(part: Uint8Array): BundleEntry['item'] {
  try {
    return isRevocationList(part)
      ? { kind: 'crl', crl: decodeRevocationList(part) }
      : { kind: 'certificate', certificate: decodeCertificate(part) }
  } catch (err) {
    if (!(err instanceof EndorsementError)) throw err
    return problem(err)
  }
}

const problem = (err: EndorsementError): BundleEntry['item'] => ({ kind: 'problem', message: messageOf(err) })

interface Part extends Pick<BundleEntry, 'start' | 'end' | 'notes'> {
  readonly content: Uint8Array | EndorsementError
}

/** Whole values of a run of DER; the last part is an error when something else follows them. */
function* derParts(bytes: Uint8Array): Generator<Part> {
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
      const content = new EndorsementError('CERT_MALFORMED', `at offset ${at}: ${err.message}`, { cause: err })
      yield { content, start: at, end: bytes.length, notes: '' }
      return
    }
    const end = at + Math.min(size, rest.length)
    yield { content: bytes.subarray(at, end), start: at, end, notes: '' }
    at = end
  }
}

const FILLER: ReadonlySet<number | undefined> = new Set([0x00, 0xff, 0x0a, 0x0d, 0x20])
const BEGIN = /-----BEGIN (?:(?:X509 |TRUSTED )?CERTIFICATE|X509 (CRL))-----/g
const END = '-----END '
const END_LINE = /^-----END [^\n-]{1,40}-----\r?\n?/

function* pemParts(bytes: Uint8Array): Generator<Part> {
  const text = new TextDecoder('latin1').decode(bytes) // one character a byte, so that offsets are those of the file
  let previous = 0
  for (const begin of text.matchAll(BEGIN)) {
    const place = { start: previous, notes: text.slice(previous, begin.index) }
    const start = begin.index + begin[0].length
    // base64 of the largest value, with line ends and room for explanatory blanks
    const most = 2 * (begin[1] === 'CRL' ? MAX_CRL_BYTES : MAX_CERTIFICATE_BYTES)
    const body = text.slice(start, start + most)
    const length = body.indexOf(END)
    if (length < 0) {
      const message = `PEM block at offset ${begin.index} has no end within ${most} bytes`
      previous = start
      yield { ...place, end: start, content: new EndorsementError('CERT_TOO_LARGE', message) }
      continue
    }
    const last = start + length
    previous = last + (END_LINE.exec(text.slice(last, last + 64))?.[0].length ?? 0)
    yield { ...place, end: previous, content: decodeBase64(body.slice(0, length), begin.index) }
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
