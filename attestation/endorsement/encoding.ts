import type { Certificate } from './certificate.ts'
import { type DerElement, DerReader, oidText, TAG } from './der.ts'
import { EndorsementError } from './errors.ts'
import { KEY } from './oids.ts'

/** Where a certificate is not DER, or not RFC 5280's profile of it, and is read all the same. */
export type EncodingOddity =
  | 'der.padding'
  | 'der.set-order'
  | 'der.long-length'
  | 'der.boolean'
  | 'der.integer'
  | 'der.string'
  | 'der.null-parameters'
  | 'der.oaep-key'
  | 'der.long-attribute'

/** What each of them means, for reports. */
export const ENCODING_ODDITIES: Readonly<Record<EncodingOddity, string>> = {
  'der.padding': 'bytes follow the certificate, as in NV indices; they are cut off',
  'der.set-order': 'members of a SET are not in DER order',
  'der.long-length': 'a length is written with more bytes than it needs',
  'der.boolean': 'TRUE is not written as FF, or a default value is written out',
  'der.integer': 'an INTEGER has leading bytes that say nothing',
  'der.string': 'a PrintableString holds characters that it may not',
  'der.null-parameters': 'an ECDSA algorithm has NULL parameters',
  'der.oaep-key': 'the RSA key is marked RSAES-OAEP',
  'der.long-attribute': 'a name attribute has more than 64 characters',
}

/** Longest common name, organisation and the like of RFC 5280 appendix A.1. */
const MAX_ATTRIBUTE = 64
const EMBEDDED: ReadonlySet<number> = new Set([TAG.octetString])

/**
 * Finds them in a certificate that was read. They refuse nothing: signatures are over the bytes as they are.
 *
 * @param original as received, padding included
 */
export function encodingOddities(c: Certificate, original: Uint8Array = c.bytes): readonly EncodingOddity[] {
  const found = new Set<EncodingOddity>()
  if (original[0] === TAG.sequence && original.length > c.bytes.length) found.add('der.padding') // not PEM
  walk(c.bytes, found)
  if (c.signatureScheme?.alg === 'ecdsa' && hasNullParameters(c)) found.add('der.null-parameters')
  if (keyAlgorithm(c) === KEY.rsaOaep) found.add('der.oaep-key')
  const names = [c.subject, c.issuer, ...(c.extensions.subjectAltName?.directoryNames ?? [])]
  if (names.some((name) => name.attributes.some((a) => a.value.length > MAX_ATTRIBUTE))) found.add('der.long-attribute')
  return [...found].sort()
}

/** Every element once, without recursion; a value that does not hold elements after all is passed over. */
function walk(bytes: Uint8Array, found: Set<EncodingOddity>): void {
  const open: Uint8Array[] = [bytes]
  for (let content = open.pop(); content !== undefined; content = open.pop()) {
    const elements = elementsOf(content)
    for (const element of elements ?? []) {
      look(element, found)
      if ((element.tag & 0x20) !== 0 || EMBEDDED.has(element.tag)) open.push(element.content)
    }
  }
}

function elementsOf(content: Uint8Array): readonly DerElement[] | undefined {
  const r = new DerReader(content, 'content')
  const elements: DerElement[] = []
  try {
    while (!r.done) elements.push(r.read('element'))
    return elements
  } catch (err) {
    if (!(err instanceof EndorsementError)) throw err
    return undefined
  }
}

function look({ tag, bytes, content }: DerElement, found: Set<EncodingOddity>): void {
  const header = bytes.length - content.length
  if (header > 2 && (content.length < 0x80 || (bytes[2] ?? 0) === 0)) found.add('der.long-length')
  const [first = 0, second = 0] = content
  if (tag === TAG.boolean && content.length === 1 && first !== 0xff) found.add('der.boolean')
  if (
    tag === TAG.integer &&
    content.length > 1 &&
    ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))
  ) {
    found.add('der.integer')
  }
  if (tag === TAG.printableString && content.some((b) => !isPrintable(b))) found.add('der.string')
  if (tag !== TAG.set) return
  const members = elementsOf(content) ?? []
  if (members.some((m, i) => i > 0 && isGreater(members[i - 1]?.bytes ?? m.bytes, m.bytes))) found.add('der.set-order')
}

/** X.680 §41.4: letters, digits, space and '()+,-./:=? */
const isPrintable = (octet: number): boolean => /[A-Za-z0-9 '()+,\-./:=?]/.test(String.fromCharCode(octet))

/** X.690 §11.6: members are compared as octets, the shorter padded with 00. */
function isGreater(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return false
}

function hasNullParameters(c: Certificate): boolean {
  const r = new DerReader(c.signedBytes, 'tbs').sequence('value')
  r.optional('version', 0xa0)
  r.read('serialNumber')
  const algorithm = r.sequence('signature')
  algorithm.read('algorithm')
  return !algorithm.done
}

function keyAlgorithm(c: Certificate): string {
  const algorithm = new DerReader(c.publicKeyInfo, 'spki').sequence('value').sequence('algorithm')
  return oidText(algorithm.expect('algorithm', TAG.oid).content)
}
