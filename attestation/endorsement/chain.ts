import { toHex } from '../base/index.ts'
import { KeyError, type PublicKey, verifyCertificateSignature } from '../crypto/index.ts'
import type { Certificate } from './certificate.ts'
import { describe, iso } from './describe.ts'
import type { EndorsementFinding } from './ek-certificate.ts'
import type { EndorsementErrorCode } from './errors.ts'
import { algorithmFault, authorityFault, missingIssuer } from './issuer-rules.ts'
import { importKey } from './public-key.ts'
import { checkRevocation } from './revocation.ts'
import { bySubject, type RootStore } from './roots.ts'

/**
 * How validity times are judged; many EK certificates and vendor CAs are past theirs while the TPM works on.
 *
 * - `strict`: every certificate of the path is valid now.
 * - `at-issue`: every CA of the path was valid when the EK certificate was issued (its notBefore), which is not in the
 *   future.
 * - `ignore-expiry`: no certificate of the path is from the future; expiry gives a warning.
 */
export type ValidityPolicy = 'strict' | 'at-issue' | 'ignore-expiry'

/** What the operator decides about paths. */
export interface PathPolicy {
  readonly validity: ValidityPolicy
  /** Signatures over SHA-1, which old makers' CAs have: a finding, or no path. MD5 and older are never accepted. */
  readonly sha1: 'warn' | 'refuse'
}

/** Most certificates of a path, EK certificate and root included; vendors use up to 5. */
export const MAX_PATH_CERTIFICATES = 8
/**
 * Most signatures checked for one EK certificate: bounds what many CAs of one name can cost (a P-521 check takes about
 * 1 ms).
 */
const MAX_SIGNATURE_CHECKS = 64
export type PathResult =
  | {
      readonly kind: 'path'
      /** EK certificate first, the operator's anchor last. */
      readonly path: readonly [Certificate, ...Certificate[]]
      readonly findings: readonly EndorsementFinding[]
    }
  | {
      readonly kind: 'no-path'
      readonly code: EndorsementErrorCode
      readonly message: string
      /** With EK_CHAIN_ISSUER_UNKNOWN: the certificate whose issuer is missing. */
      readonly orphan?: Certificate
    }

/**
 * Finds a path from a certificate to an anchor of the operator's store. Names match as RFC 5280 §7.1 says; every
 * signature is checked over the received bytes; every issuer must be a CA that may sign certificates, within its path
 * length. A failed branch does not end the search; if all fail, the reason given is the one nearest to a root.
 *
 * @param supplied intermediates that came with the certificate, trusted for nothing
 */
export function findPath(
  leaf: Certificate,
  supplied: readonly Certificate[],
  store: RootStore,
  policy: PathPolicy,
  now: Date,
): PathResult {
  const search = new PathSearch(leaf, bySubject(supplied), store, policy, now)
  const path = search.run()
  return path === undefined ? search.failure() : { kind: 'path', path, findings: search.findings(path) }
}

/** A path to a root that a CRL cut is the reason, whatever other branches met. */
const RANK_REVOKED = 500
/** Nothing else found so far is known to be the reason. */
const RANK_LIMIT = 1000

interface Failure {
  readonly rank: number
  readonly code: EndorsementErrorCode
  readonly message: string
  readonly orphan?: Certificate
}

class PathSearch {
  readonly #leaf: Certificate
  readonly #supplied: ReadonlyMap<string, readonly Certificate[]>
  readonly #store: RootStore
  readonly #policy: PathPolicy
  readonly #now: Date
  #checks = 0
  #worst: Failure | undefined

  constructor(
    leaf: Certificate,
    supplied: ReadonlyMap<string, readonly Certificate[]>,
    store: RootStore,
    policy: PathPolicy,
    now: Date,
  ) {
    this.#leaf = leaf
    this.#supplied = supplied
    this.#store = store
    this.#policy = policy
    this.#now = now
  }

  run(): readonly [Certificate, ...Certificate[]] | undefined {
    const fault = this.#validityFault(this.#leaf)
    if (fault !== undefined) {
      this.#fail(0, 'EK_CERT_VALIDITY', fault)
      return undefined
    }
    return this.#extend([this.#leaf])
  }

  failure(): PathResult {
    if (this.#worst === undefined) throw new TypeError('a search that found no path says why')
    const { rank, ...failure } = this.#worst
    return { kind: 'no-path', ...failure }
  }

  /** Depth is at most MAX_PATH_CERTIFICATES, breadth at most MAX_SIGNATURE_CHECKS in all. */
  #extend(path: readonly [Certificate, ...Certificate[]]): readonly [Certificate, ...Certificate[]] | undefined {
    const subject = path[path.length - 1] ?? path[0]
    const depth = path.length
    const issuers = this.#candidates(subject, path)
    if (issuers.length === 0) {
      this.#fail(depth * 10 + 5, 'EK_CHAIN_ISSUER_UNKNOWN', missingIssuer(subject), subject)
      return undefined
    }
    for (const issuer of issuers) {
      if (depth === MAX_PATH_CERTIFICATES || this.#checks === MAX_SIGNATURE_CHECKS) {
        this.#fail(
          RANK_LIMIT,
          'EK_CHAIN_TOO_LONG',
          `no root within ${MAX_PATH_CERTIFICATES} certificates and ${MAX_SIGNATURE_CHECKS} signature checks; ` +
            'remove doubtful certificates from the chain and from the root store',
        )
        return undefined
      }
      const fault = this.#issuerFault(subject, issuer, path)
      if (fault !== undefined) {
        this.#fail(depth * 10 + fault.rank, fault.code, fault.message)
        continue
      }
      const longer = [...path, issuer] as const
      if (this.#store.anchorFingerprints.has(toHex(issuer.fingerprint))) {
        const revoked = this.#revokedOn(longer)
        if (revoked === undefined) return longer
        this.#fail(RANK_REVOKED, 'EK_CERT_REVOKED', revoked)
        continue
      }
      const found = this.#extend(longer)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** Asked of whole paths only: nobody but the operator's CAs makes CRLs be verified. */
  #revokedOn(path: readonly Certificate[]): string | undefined {
    for (const [i, c] of path.entries()) {
      const issuer = path[i + 1]
      const revoked = issuer && this.#revocation(c, issuer).revoked
      if (revoked !== undefined) return revoked
    }
    return undefined
  }

  /** Possible issuers by name, anchors first; one whose key identifier contradicts is none. */
  #candidates(subject: Certificate, path: readonly Certificate[]): readonly Certificate[] {
    const name = subject.issuer.key
    const wanted = subject.extensions.authorityKeyId
    const found: Certificate[] = []
    const seen = new Set(path.map((c) => toHex(c.fingerprint)))
    for (const source of [this.#store.anchors, this.#store.intermediates, this.#supplied]) {
      for (const c of source.get(name) ?? []) {
        const id = toHex(c.fingerprint)
        const has = c.extensions.subjectKeyId
        if (seen.has(id) || (wanted !== undefined && has !== undefined && toHex(wanted) !== toHex(has))) continue
        seen.add(id)
        found.push(c)
      }
    }
    return found
  }

  #issuerFault(subject: Certificate, issuer: Certificate, path: readonly Certificate[]): Failure | undefined {
    const algorithm = algorithmFault(subject, issuer, this.#policy.sha1)
    if (algorithm !== undefined) return { rank: 2, code: 'EK_CHAIN_ALGORITHM', message: algorithm }
    const signature = this.#checkSignature(subject, issuer)
    if (signature !== undefined) return { rank: 1, code: 'EK_CHAIN_SIGNATURE_INVALID', message: signature }
    const authority = authorityFault(issuer, path)
    if (authority !== undefined) return { rank: 8, code: 'EK_CHAIN_ISSUER_NOT_CA', message: authority }
    const validity = this.#validityFault(issuer)
    if (validity !== undefined) return { rank: 7, code: 'EK_CERT_VALIDITY', message: validity }
    return undefined
  }

  #checkSignature(subject: Certificate, issuer: Certificate): string | undefined {
    const { signatureScheme, signedBytes, signature } = subject
    const numbers = issuer.publicKey
    if (signatureScheme === undefined || numbers.kind === 'unsupported') return 'signature cannot be checked'
    this.#checks++
    let key: PublicKey
    try {
      key = importKey(numbers)
    } catch (err) {
      if (!(err instanceof KeyError)) throw err
      return `key of ${describe(issuer)} cannot be used: ${err.message}`
    }
    if (verifyCertificateSignature(key, signatureScheme, signedBytes, signature)) return undefined
    return `signature of ${describe(subject)} does not verify with the key of ${describe(issuer)}`
  }

  #validityFault(c: Certificate): string | undefined {
    const isLeaf = c === this.#leaf
    const at = this.#policy.validity === 'at-issue' && !isLeaf ? this.#leaf.notBefore : this.#now
    if (at < c.notBefore) {
      return `${describe(c)} is valid from ${iso(c.notBefore)}, looked at for ${iso(at)}; check the clock`
    }
    const expiryMatters = this.#policy.validity === 'strict' || (this.#policy.validity === 'at-issue' && !isLeaf)
    if (expiryMatters && at > c.notAfter) {
      const advice =
        this.#policy.validity === 'strict'
          ? '; the validity policy `at-issue` would allow it if it was valid at issue'
          : ''
      return `${describe(c)} was valid until ${iso(c.notAfter)}, looked at for ${iso(at)}${advice}`
    }
    return undefined
  }

  #fail(rank: number, code: EndorsementErrorCode, message: string, orphan?: Certificate): void {
    if (this.#worst !== undefined && rank <= this.#worst.rank) return
    this.#worst = { rank, code, message, ...(orphan !== undefined && { orphan }) }
  }

  /** Warnings about a path that was found. */
  findings(path: readonly Certificate[]): readonly EndorsementFinding[] {
    const findings: EndorsementFinding[] = []
    const warn = (rule: EndorsementFinding['rule'], message: string) =>
      findings.push({ rule, tier: 'warning', message })
    path.forEach((c, i) => {
      const issuer = path[i + 1] // the signature of the anchor itself is not relied on
      if (issuer !== undefined && c.signatureScheme?.hash === 'sha1') {
        warn('ek-chain.sha1', `${describe(c)} is signed over SHA-1`)
      }
      if (this.#now > c.notAfter || this.#now < c.notBefore) {
        const period = `${iso(c.notBefore)} to ${iso(c.notAfter)}`
        warn('ek-chain.validity', `${describe(c)} was valid ${period}; accepted by policy ${this.#policy.validity}`)
      }
      for (const message of issuer === undefined ? [] : this.#revocation(c, issuer).warnings)
        warn('ek-chain.crl', message)
    })
    return findings
  }

  #revocation(subject: Certificate, issuer: Certificate): ReturnType<typeof checkRevocation> {
    const lists = this.#store.crls.get(subject.issuer.key) ?? []
    return checkRevocation(subject, issuer, lists, this.#now)
  }
}
