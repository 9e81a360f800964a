import { printable } from '../base/index.ts'
import { bytesText } from '../crypto/index.ts'
import { DerReader, oidText, TAG } from './der.ts'
import { EndorsementError } from './errors.ts'
import { ATTRIBUTE_NAMES } from './oids.ts'

/** More attributes than any real name has. */
const MAX_ATTRIBUTES = 64
/** Longest name put into a message. */
const MAX_TEXT = 300

/** One attribute of a name; RFC 5280 caps most at 64 characters, vendors do not, so neither do we. */
export interface NameAttribute {
  readonly type: string
  readonly value: string
}

/** A distinguished name (RFC 5280 §4.1.2.4). */
export interface DistinguishedName {
  readonly bytes: Uint8Array
  /**
   * Equal for names that RFC 5280 §7.1 calls the same: string type, case, outer and repeated blanks do not count. AMD
   * and ST write an issuer as PrintableString and the same CA's subject as UTF8String, so octets would not do.
   */
  readonly key: string
  readonly attributes: readonly NameAttribute[]
  /** for people: as in RFC 4514 but in order of writing, control characters shown as `?` */
  readonly text: string
}

/**
 * @param bytes a Name with its outer SEQUENCE
 * @throws EndorsementError CERT_MALFORMED, CERT_TOO_LARGE
 */
export function decodeName(bytes: Uint8Array, what: string): DistinguishedName {
  const outer = new DerReader(bytes, what)
  const rdns = outer.sequence('rdnSequence')
  outer.end()
  const attributes: NameAttribute[] = []
  const parts: string[] = []
  const keys: string[][] = []
  while (!rdns.done) {
    const rdn = new DerReader(rdns.expect('rdn', TAG.set).content, `${what}.rdn`)
    const texts: string[] = []
    const members: string[] = []
    while (!rdn.done) {
      if (attributes.length === MAX_ATTRIBUTES) {
        throw new EndorsementError('CERT_TOO_LARGE', `${what} has more than ${MAX_ATTRIBUTES} attributes`)
      }
      const attribute = rdn.sequence('attribute')
      const type = oidText(attribute.expect('type', TAG.oid).content)
      const { tag, content } = attribute.read('value')
      attribute.end()
      const value = stringValue(tag, content)
      attributes.push({ type, value })
      members.push(`${type}=${value.trim().replace(/\s+/gu, ' ').toLowerCase()}`)
      texts.push(`${ATTRIBUTE_NAMES.get(type) ?? type}=${value}`)
    }
    parts.push(texts.join(' + '))
    keys.push(members.sort()) // a SET has no order, and vendors do not write it in DER's
  }
  return {
    bytes,
    key: JSON.stringify(keys),
    attributes,
    text: printable(parts.join(', '), MAX_TEXT), // a name may come from a hostile node
  }
}

/**
 * Text of a DirectoryString or IA5String; bytes that are not of the announced encoding are kept one to one, not
 * refused.
 */
function stringValue(tag: number, content: Uint8Array): string {
  switch (tag) {
    case TAG.utf8String:
      return new TextDecoder('utf-8').decode(content)
    case TAG.bmpString:
      return wideText(content, 2)
    case TAG.universalString:
      return wideText(content, 4)
    default:
      return bytesText(content)
  }
}

function wideText(content: Uint8Array, width: number): string {
  let out = ''
  for (let i = 0; i + width <= content.length; i += width) {
    let code = 0
    for (const b of content.subarray(i, i + width)) code = code * 256 + b
    out += code <= 0x10ffff ? String.fromCodePoint(code) : '?'
  }
  return out
}
