import { toHex } from '../base/index.ts'
import { KeyError, type PublicKey, verifyCertificateSignature } from '../crypto/index.ts'
import { type Certificate, isSelfIssued } from './certificate.ts'
import type { EndorsementFinding } from './ek-certificate.ts'
import type { EndorsementErrorCode } from './errors.ts'
import { EXT } from './oids.ts'
import { importKey, modulusBits } from './public-key.ts'
import { bySubject, type RootStore } from './roots.ts'

/**
 * How validity times are judged; many EK certificates and vendor CAs are past theirs while the TPM works on.
 *
 * - `strict`: every certificate of the path is valid now.
 * - `at-issue`: every CA of the path was valid when the EK certificate was issued (its notBefore), which is not in the future.
 * - `ignore-expiry`: no certificate of the path is from the future; expiry gives a warning.
 */
export type ValidityPolicy = 'strict' | 'at-issue' | 'ignore-expiry'

/** Most certificates of a path, EK certificate and root included; vendors use up to 5. */
export const MAX_PATH_CERTIFICATES = 8
/** Most signatures checked for one EK certificate: bounds what many CAs of one name can cost (a P-521 check takes about 1 ms). */
export const MAX_SIGNATURE_CHECKS = 64
const MIN_ISSUER_RSA_BITS = 2048
/** OpenSSL takes up to 16384; verification time grows with the square. */
const MAX_ISSUER_RSA_BITS = 8192

/** Critical extensions of a CA that are honoured here, or that cannot matter to an EK certificate (policies, purposes). */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXT.basicConstraints,
  EXT.keyUsage,
  EXT.extKeyUsage,
  EXT.certificatePolicies,
  EXT.subjectAltName,
])

export type PathResult =
  | {
      readonly kind: 'path'
      /** EK certificate first, the operator's anchor last. */
      readonly path: readonly [Certificate, ...Certificate[]]
      readonly findings: readonly EndorsementFinding[]
    }
  | { readonly kind: 'no-path'; readonly code: EndorsementErrorCode; readonly message: string }

/**
 * Finds a path from a certificate to an anchor of the operator's store. Names match as RFC 5280 §7.1 says; every signature is
 * checked over the received bytes; every issuer must be a CA that may sign certificates, within its path length.
 * A failed branch does not end the search; if all fail, the reason given is the one nearest to a root.
 *
 * @param supplied intermediates that came with the certificate, trusted for nothing
 */
export function findPath(
  leaf: Certificate,
  supplied: readonly Certificate[],
  store: RootStore,
  policy: ValidityPolicy,
  now: Date,
): PathResult {
  const search = new PathSearch(leaf, bySubject(supplied), store, policy, now)
  const path = search.run()
  return path === undefined ? search.failure() : { kind: 'path', path, findings: findingsOf(path, policy, now) }
}

interface Failure {
  readonly rank: number
  readonly code: EndorsementErrorCode
  readonly message: string
}

class PathSearch {
  readonly #leaf: Certificate
  readonly #supplied: ReadonlyMap<string, readonly Certificate[]>
  readonly #store: RootStore
  readonly #policy: ValidityPolicy
  readonly #now: Date
  #checks = 0
  #worst: Failure | undefined

  constructor(
    leaf: Certificate,
    supplied: ReadonlyMap<string, readonly Certificate[]>,
    store: RootStore,
    policy: ValidityPolicy,
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
    const { code, message } = this.#worst ?? { code: 'EK_CHAIN_ISSUER_UNKNOWN' as const, message: 'no path was found' }
    return { kind: 'no-path', code, message }
  }

  /** Depth is at most MAX_PATH_CERTIFICATES, breadth at most MAX_SIGNATURE_CHECKS in all. */
  #extend(path: readonly [Certificate, ...Certificate[]]): readonly [Certificate, ...Certificate[]] | undefined {
    const subject = path[path.length - 1] ?? path[0]
    const depth = path.length
    const issuers = this.#candidates(subject, path)
    if (issuers.length === 0) {
      this.#fail(depth * 10 + 5, 'EK_CHAIN_ISSUER_UNKNOWN', missingIssuer(subject))
      return undefined
    }
    for (const issuer of issuers) {
      if (depth === MAX_PATH_CERTIFICATES || this.#checks === MAX_SIGNATURE_CHECKS) {
        this.#fail(
          1000, // nothing else found so far is known to be the reason
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
      if (this.#store.anchorFingerprints.has(toHex(issuer.fingerprint))) return longer
      const found = this.#extend(longer)
      if (found !== undefined) return found
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
    const algorithm = algorithmFault(subject, issuer)
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
    const at = this.#policy === 'at-issue' && !isLeaf ? this.#leaf.notBefore : this.#now
    if (at < c.notBefore) {
      return `${describe(c)} is valid from ${iso(c.notBefore)}, looked at for ${iso(at)}; check the clock`
    }
    const expiryMatters = this.#policy === 'strict' || (this.#policy === 'at-issue' && !isLeaf)
    if (expiryMatters && at > c.notAfter) {
      const advice =
        this.#policy === 'strict' ? '; the validity policy `at-issue` would allow it if it was valid at issue' : ''
      return `${describe(c)} was valid until ${iso(c.notAfter)}, looked at for ${iso(at)}${advice}`
    }
    return undefined
  }

  #fail(rank: number, code: EndorsementErrorCode, message: string): void {
    if (this.#worst === undefined || rank > this.#worst.rank) this.#worst = { rank, code, message }
  }
}

/** Why the signature's algorithm or the issuer's key is not accepted, before any cryptography is done. */
function algorithmFault(subject: Certificate, issuer: Certificate): string | undefined {
  const scheme = subject.signatureScheme
  if (scheme === undefined)
    return `${describe(subject)} is signed with algorithm ${subject.signatureOid}, which is not accepted`
  const key = issuer.publicKey
  if (key.kind === 'unsupported') return `key of ${describe(issuer)} is not supported: ${key.reason}`
  if ((key.kind === 'ec') !== (scheme.alg === 'ecdsa')) {
    return `${describe(subject)} is signed with ${scheme.alg}, the key of ${describe(issuer)} is ${key.kind}`
  }
  if (key.kind !== 'rsa') return undefined
  const bits = modulusBits(key.modulus)
  if (bits < MIN_ISSUER_RSA_BITS || bits > MAX_ISSUER_RSA_BITS) {
    return `RSA key of ${describe(issuer)} has ${bits} bits, wanted ${MIN_ISSUER_RSA_BITS} to ${MAX_ISSUER_RSA_BITS}`
  }
  return undefined
}

/** Why an issuer may not issue here (RFC 5280 §6.1.4 k to o). Roots are held to it as well. */
function authorityFault(issuer: Certificate, path: readonly Certificate[]): string | undefined {
  const { basicConstraints, keyUsage, critical } = issuer.extensions
  if (basicConstraints?.ca !== true) return `${describe(issuer)} is no CA (BasicConstraints)`
  if (keyUsage !== undefined && !keyUsage.has('keyCertSign'))
    return `${describe(issuer)} may not sign certificates (KeyUsage)`
  for (const oid of critical) {
    if (!UNDERSTOOD.has(oid)) return `${describe(issuer)} has critical extension ${oid}, which is not understood`
  }
  const below = path.slice(1).filter((c) => !isSelfIssued(c)).length
  if (basicConstraints.pathLength !== undefined && below > basicConstraints.pathLength) {
    return `${describe(issuer)} allows ${basicConstraints.pathLength} CAs below it, the path has ${below}`
  }
  return undefined
}

function missingIssuer(c: Certificate): string {
  const aki = c.extensions.authorityKeyId
  if (isSelfIssued(c)) {
    return (
      `${describe(c)} is its own issuer and is not in the root store; if it is the manufacturer's genuine root, ` +
      'add it with `holdfast roots import FILE`'
    )
  }
  return (
    `CA certificate missing: ${c.issuer.text || '(empty name)'}${aki === undefined ? '' : `, key identifier ${toHex(aki)}`}, ` +
    `which issued ${describe(c)}; get it from the manufacturer and add it with \`holdfast roots import FILE\``
  )
}

function findingsOf(path: readonly Certificate[], policy: ValidityPolicy, now: Date): readonly EndorsementFinding[] {
  const findings: EndorsementFinding[] = []
  path.forEach((c, i) => {
    // the signature of the anchor itself is not relied on
    if (c.signatureScheme?.hash === 'sha1' && i < path.length - 1) {
      findings.push({ rule: 'ek-chain.sha1', tier: 'warning', message: `${describe(c)} is signed over SHA-1` })
    }
    if (now > c.notAfter || now < c.notBefore) {
      const message = `${describe(c)} was valid ${iso(c.notBefore)} to ${iso(c.notAfter)}; accepted by policy ${policy}`
      findings.push({ rule: 'ek-chain.validity', tier: 'warning', message })
    }
  })
  return findings
}

/** How a certificate is named in messages: its subject, or where that is empty its issuer and serial number. */
export function describe(c: Certificate): string {
  if (c.subject.attributes.length > 0) return `"${c.subject.text}"`
  return `certificate ${toHex(c.serial.subarray(0, 21))} of "${c.issuer.text}"`
}

const iso = (time: Date): string => time.toISOString().replace('.000Z', 'Z')
