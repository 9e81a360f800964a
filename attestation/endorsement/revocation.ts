import { toHex } from '../base/index.ts'
import { KeyError, verifyCertificateSignature } from '../crypto/index.ts'
import type { Certificate } from './certificate.ts'
import type { RevocationList } from './crl.ts'
import { describe, iso } from './describe.ts'
import { issuerKeyFault } from './issuer-rules.ts'
import { importKey } from './public-key.ts'

/** Most CRLs whose signatures are checked for one certificate, newest first. The first good one that is complete ends the search. */
const MAX_CHECKED_CRLS = 8

/** What the operator's CRLs say of one certificate. */
export interface RevocationCheck {
  /** Why it is revoked; undefined when no verified CRL lists it. */
  readonly revoked: string | undefined
  /** CRLs that are stale, or of the issuer's name and cannot be relied on. */
  readonly warnings: readonly string[]
}

/**
 * Looks a certificate up in the newest CRL that its issuer's key has signed, and in the newest ones if those are parts
 * of one. CRLs are optional: without one nothing is known, and nothing is said. One past its nextUpdate still revokes
 * what it lists, and gives a warning; one from the future is not used.
 *
 * @param lists CRLs whose issuer has the certificate's issuer's name
 */
export function checkRevocation(
  subject: Certificate,
  issuer: Certificate,
  lists: readonly RevocationList[],
  now: Date,
): RevocationCheck {
  const warnings: string[] = []
  const newestFirst = [...lists].sort((a, b) => b.thisUpdate.getTime() - a.thisUpdate.getTime())
  let checked = 0
  for (const crl of newestFirst) {
    const entry = crl.revoked.get(toHex(subject.serial))
    if (isOfAnotherKey(crl, issuer)) continue
    const name = `CRL of "${crl.issuer.text}" of ${iso(crl.thisUpdate)}`
    const stale = `${name} is stale: the next one was due ${crl.nextUpdate && iso(crl.nextUpdate)}; import it with \`holdfast roots import\``
    const isStale = crl.nextUpdate !== undefined && crl.nextUpdate < now
    if (crl.partial && entry === undefined) {
      // it says nothing of this certificate, whoever has signed it, and a maker may have as many parts as it likes
      if (isStale && warnings.length < MAX_CHECKED_CRLS) warnings.push(stale)
      continue
    }
    if (checked++ === MAX_CHECKED_CRLS) {
      const why = `for ${MAX_CHECKED_CRLS} newer ones settle nothing; remove those: holdfast roots remove FINGERPRINT`
      warnings.push(`${name} and older ones are not looked at, ${why}`)
      break
    }
    const fault = crl.thisUpdate > now ? 'is from the future; check the clock' : signatureFault(crl, issuer)
    if (fault !== undefined) {
      warnings.push(`${name} ${fault}; it is not used`)
      continue
    }
    if (isStale) warnings.push(stale)
    if (entry === undefined) return { revoked: undefined, warnings }
    const why = entry.reason === undefined ? '' : ` (${entry.reason})`
    return { revoked: `${describe(subject)} was revoked by its issuer on ${iso(entry.at)}${why}`, warnings }
  }
  return { revoked: undefined, warnings }
}

function isOfAnotherKey(crl: RevocationList, issuer: Certificate): boolean {
  const { subjectKeyId } = issuer.extensions
  return (
    crl.authorityKeyId !== undefined && subjectKeyId !== undefined && toHex(crl.authorityKeyId) !== toHex(subjectKeyId)
  )
}

function signatureFault(crl: RevocationList, issuer: Certificate): string | undefined {
  const { keyUsage } = issuer.extensions
  if (keyUsage !== undefined && !keyUsage.has('cRLSign')) return `is of a CA that may not sign CRLs (KeyUsage)`
  const key = issuer.publicKey
  const scheme = crl.signatureScheme
  if (scheme === undefined || scheme.hash === 'sha1') return 'is signed with an algorithm that is not accepted'
  if (
    key.kind === 'unsupported' ||
    (key.kind === 'ec') !== (scheme.alg === 'ecdsa') ||
    issuerKeyFault(key) !== undefined
  ) {
    return 'is signed with an algorithm that is not of its issuer’s key'
  }
  try {
    const good = verifyCertificateSignature(importKey(key), scheme, crl.signedBytes, crl.signature)
    return good ? undefined : `does not verify with the key of ${describe(issuer)}`
  } catch (err) {
    if (!(err instanceof KeyError)) throw err
    return `cannot be verified: ${err.message}`
  }
}
