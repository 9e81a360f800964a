import { toHex } from '../base/index.ts'
import { type Certificate, isSelfIssued } from './certificate.ts'
import { describe } from './describe.ts'
import { issuerLocations } from './locations.ts'
import { EXT } from './oids.ts'
import { modulusBits, type SubjectPublicKey, weakness } from './public-key.ts'
import { signatureName } from './signature-algorithm.ts'

const MIN_ISSUER_RSA_BITS = 2048
/** OpenSSL takes up to 16384; verification time grows with the square. */
const MAX_ISSUER_RSA_BITS = 8192

/**
 * Critical extensions of a CA that are honoured here, or that cannot matter to an EK certificate (policies, purposes).
 */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXT.basicConstraints,
  EXT.keyUsage,
  EXT.extKeyUsage,
  EXT.certificatePolicies,
  EXT.subjectAltName,
])

/** Why a CA's key is not accepted, whatever it signed; undefined when it is. */
export function issuerKeyFault(key: SubjectPublicKey): string | undefined {
  if (key.kind === 'unsupported') return `is not supported: ${key.reason}`
  if (key.kind === 'rsa') {
    const bits = modulusBits(key.modulus)
    if (bits < MIN_ISSUER_RSA_BITS || bits > MAX_ISSUER_RSA_BITS) {
      return `has ${bits} bits, wanted ${MIN_ISSUER_RSA_BITS} to ${MAX_ISSUER_RSA_BITS}`
    }
  }
  return weakness(key)
}

/** Why the signature's algorithm or the issuer's key is not accepted, before any cryptography is done. */
export function algorithmFault(subject: Certificate, issuer: Certificate, sha1: 'warn' | 'refuse'): string | undefined {
  const scheme = subject.signatureScheme
  if (scheme === undefined)
    return `${describe(subject)} is signed with algorithm ${subject.signatureOid}, which is not accepted (${signatureName(subject.signatureOid)})`
  if (scheme.hash === 'sha1' && sha1 === 'refuse') {
    return `${describe(subject)} is signed over SHA-1, which the settings refuse (enrolment.ekSha1Signatures)`
  }
  const key = issuer.publicKey
  if (key.kind !== 'unsupported' && (key.kind === 'ec') !== (scheme.alg === 'ecdsa')) {
    return `${describe(subject)} is signed with ${scheme.alg}, the key of ${describe(issuer)} is ${key.kind}`
  }
  const fault = issuerKeyFault(key)
  return fault === undefined ? undefined : `the ${key.kind.toUpperCase()} key of ${describe(issuer)} ${fault}`
}

/** Why an issuer may not issue here (RFC 5280 §6.1.4 k to o). Roots are held to it as well. */
export function authorityFault(issuer: Certificate, path: readonly Certificate[]): string | undefined {
  const { basicConstraints, keyUsage, critical, present } = issuer.extensions
  if (basicConstraints?.ca !== true) return `${describe(issuer)} is no CA (BasicConstraints)`
  if (keyUsage !== undefined && !keyUsage.has('keyCertSign'))
    return `${describe(issuer)} may not sign certificates (KeyUsage)`
  for (const oid of critical) {
    if (!UNDERSTOOD.has(oid)) return `${describe(issuer)} has critical extension ${oid}, which is not understood`
  }
  // No TPM maker's CA has them. One that is not critical is against RFC 5280 §4.2.1.10, and passing over it would widen
  // the CA's power.
  if (present.includes(EXT.nameConstraints)) return `${describe(issuer)} has name constraints, which are not understood`
  const below = path.slice(1).filter((c) => !isSelfIssued(c)).length
  if (basicConstraints.pathLength !== undefined && below > basicConstraints.pathLength) {
    return `${describe(issuer)} allows ${basicConstraints.pathLength} CAs below it, the path has ${below}`
  }
  return undefined
}

/** Names the CA certificate that a path needs next, where the certificate says it is published, and what to do. */
export function missingIssuer(c: Certificate): string {
  const aki = c.extensions.authorityKeyId
  if (isSelfIssued(c)) {
    return (
      `${describe(c)} is its own issuer and is not in the root store; if it is the manufacturer's genuine root, ` +
      'add it with `holdfast roots import FILE`'
    )
  }
  const [address] = issuerLocations(c)
  const where =
    address === undefined
      ? 'get it from the manufacturer'
      : `it says that is at ${address}: fetch it, make sure that it is genuine`
  return (
    `CA certificate missing: ${c.issuer.text || '(empty name)'}${aki === undefined ? '' : `, key identifier ${toHex(aki)}`}, ` +
    `which issued ${describe(c)}; ${where} and add it with \`holdfast roots import FILE\``
  )
}
