import { type Certificate, findPath, makeRootStore } from '../endorsement/index.ts'
import { SigstoreError } from './errors.ts'
import { isWithin, type TrustedAuthority } from './trusted-root.ts'

/** A path from the signer's certificate, first, to the root, last. */
export type CertificatePath = readonly [Certificate, ...Certificate[]]

/**
 * Finds the way from a certificate to an authority of a trusted root, all valid at one moment.
 *
 * @param supplied intermediates that came with the signature, trusted for nothing
 * @throws SigstoreError SIGSTORE_CERTIFICATE_UNTRUSTED
 */
export function pathAt(
  leaf: Certificate,
  supplied: readonly Certificate[],
  authorities: readonly TrustedAuthority[],
  time: Date,
): CertificatePath {
  const reasons: string[] = []
  for (const authority of authorities.filter((a) => isWithin(a, time))) {
    const root = authority.chain[authority.chain.length - 1] ?? authority.chain[0]
    const store = makeRootStore([root], authority.chain.slice(0, -1))
    const found = findPath(leaf, supplied, store, { validity: 'strict', sha1: 'refuse' }, time)
    if (found.kind === 'path') return found.path
    reasons.push(found.message)
  }
  const why =
    reasons.length > 0 ? reasons.join('; ') : `no authority of the trusted root counts at ${time.toISOString()}`
  throw new SigstoreError('SIGSTORE_CERTIFICATE_UNTRUSTED', `the signing certificate: ${why}`)
}
