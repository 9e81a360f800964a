import { bytesText } from '../crypto/index.ts'
import type { Certificate } from './certificate.ts'
import { contextTag, contextTagPrimitive, DerReader, oidText, TAG } from './der.ts'
import { EndorsementError } from './errors.ts'
import { EXT } from './oids.ts'

const CA_ISSUERS = '1.3.6.1.5.5.7.48.2'
const URI = contextTagPrimitive(6)
/** More addresses than any real certificate names, and the longest that is shown. */
const MAX_LOCATIONS = 8
const MAX_URI_BYTES = 512

/**
 * Where the certificate says that its issuer's certificate is published (AuthorityInfoAccess caIssuers, RFC 5280
 * §4.2.2.1). A claim for people to look at: nothing here fetches it. Empty where the extension is absent or cannot be
 * read.
 */
export function issuerLocations(c: Certificate): readonly string[] {
  return readable(c.extensions.values.get(EXT.authorityInfoAccess), (value, found) => {
    const list = new DerReader(value, 'authorityInfoAccess').sequence('value')
    while (!list.done && found.length < MAX_LOCATIONS) {
      const description = list.sequence('accessDescription')
      const method = oidText(description.expect('accessMethod', TAG.oid).content)
      const { tag, content } = description.read('accessLocation')
      if (method === CA_ISSUERS && tag === URI) addUri(found, content)
    }
  })
}

/**
 * Where the certificate says that its issuer's CRL is published (CRLDistributionPoints, RFC 5280 §4.2.1.13). As above.
 */
export function crlLocations(c: Certificate): readonly string[] {
  return readable(c.extensions.values.get(EXT.crlDistributionPoints), (value, found) => {
    const list = new DerReader(value, 'crlDistributionPoints').sequence('value')
    while (!list.done && found.length < MAX_LOCATIONS) {
      const name = list.sequence('distributionPoint').optional('distributionPoint', contextTag(0))
      const fullName = name && new DerReader(name.content, 'distributionPointName').optional('fullName', contextTag(0))
      if (fullName === undefined) continue
      const names = new DerReader(fullName.content, 'fullName')
      while (!names.done && found.length < MAX_LOCATIONS) {
        const { tag, content } = names.read('generalName')
        if (tag === URI) addUri(found, content)
      }
    }
  })
}

/** These extensions decide nothing, so one that cannot be read takes nothing away. */
function readable(
  value: Uint8Array | undefined,
  read: (value: Uint8Array, found: string[]) => void,
): readonly string[] {
  const found: string[] = []
  if (value === undefined) return found
  try {
    read(value, found)
  } catch (err) {
    if (!(err instanceof EndorsementError)) throw err
  }
  return found
}

/** Addresses come from the node's side and end on terminals: what is no plain web address is left out. */
function addUri(found: string[], content: Uint8Array): void {
  const text = content.length > MAX_URI_BYTES ? '' : bytesText(content)
  if (/^https?:\/\/[\x21-\x7e]+$/.test(text)) found.push(text)
}
