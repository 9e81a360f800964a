import { asciiText, utf16Text } from './text.ts'

const SEQUENCE = 0x30
const OID = 0x06
const BMP_STRING = 0x1e
const UTF8_STRING = 0x0c
const EXPLICIT_VERSION = 0xa0
/** id-at-commonName, id-at-organizationalUnitName and id-at-organizationName as DER content, best first. */
const ATTRIBUTES: readonly { readonly label: string; readonly oid: string }[] = [
  { label: 'CN', oid: '\x55\x04\x03' },
  { label: 'OU', oid: '\x55\x04\x0b' },
  { label: 'O', oid: '\x55\x04\x0a' },
]

interface Element {
  readonly tag: number
  readonly content: Uint8Array
  readonly end: number
}

/**
 * The subject of an X.509 certificate for people: `CN=…`, or OU or O where it has no common name. It reads only as far
 * as the subject and checks nothing: attestation/endorsement is where certificates are believed. UTF-8 that is not
 * valid is shown with replacement characters.
 *
 * @returns undefined for bytes that are no certificate
 */
export function certificateName(der: Uint8Array): string | undefined {
  const certificate = element(der, 0)
  const tbs = certificate?.tag === SEQUENCE ? element(certificate.content, 0) : undefined
  if (tbs?.tag !== SEQUENCE) return undefined
  const fields = elements(tbs.content, 7)
  // version [0] is absent in version 1; then serial, signature, issuer, validity, subject
  const subject = fields[fields[0]?.tag === EXPLICIT_VERSION ? 5 : 4]
  if (subject?.tag !== SEQUENCE) return undefined
  const names = elements(subject.content, 64).flatMap((set) => elements(set.content, 16))
  for (const { label, oid } of ATTRIBUTES) {
    for (const name of names) {
      const [type, value] = elements(name.content, 2)
      if (type?.tag === OID && value !== undefined && asciiText(type.content) === oid)
        return `${label}=${textOf(value)}`
    }
  }
  return undefined
}

function textOf({ tag, content }: Element): string {
  if (tag === UTF8_STRING) return new TextDecoder().decode(content)
  if (tag !== BMP_STRING) return asciiText(content)
  const swapped = new Uint8Array(content.length)
  for (let i = 0; i < content.length; i++) swapped[i] = content[i ^ 1] ?? 0
  return utf16Text(swapped)
}

function elements(bytes: Uint8Array, max: number): Element[] {
  const found: Element[] = []
  for (let at = 0; at < bytes.length && found.length < max; ) {
    const next = element(bytes, at)
    if (next === undefined) break
    found.push(next)
    at = next.end
  }
  return found
}

/** One element with a length of up to four bytes; undefined where it does not fit. */
function element(bytes: Uint8Array, at: number): Element | undefined {
  const tag = bytes[at]
  const first = bytes[at + 1]
  if (tag === undefined || first === undefined) return undefined
  let start = at + 2
  let length = first
  if (first >= 0x80) {
    const count = first - 0x80
    if (count < 1 || count > 4 || start + count > bytes.length) return undefined
    length = 0
    for (let i = 0; i < count; i++) length = length * 256 + (bytes[start + i] as number) // inside by the check above
    start += count
  }
  if (length > bytes.length - start) return undefined
  return { tag, content: bytes.subarray(start, start + length), end: start + length }
}
