import { toHex } from '../base/index.ts'
import type { TpmPublic } from '../tpm2/index.ts'
import type { Certificate } from './certificate.ts'
import { findPath, type PathPolicy } from './chain.ts'
import { describe } from './describe.ts'
import { checkEkCertificate, EK_CERTIFICATE_RULES, type TpmIdentity } from './ek-certificate.ts'
import { ENCODING_ODDITIES, encodingOddities } from './encoding.ts'
import { issuerLocations } from './locations.ts'
import { isOfEkTemplate, keyMismatch, sameKey } from './match.ts'
import type { SubjectPublicKey } from './public-key.ts'
import { type CertificatePurpose, certificatePurpose } from './purpose.ts'
import type { RootStore } from './roots.ts'

/** What is known of the TPM's own key: its public area, or the bare key of a PEM file. */
export type KnownEk =
  | { readonly kind: 'public-area'; readonly area: TpmPublic }
  | { readonly kind: 'key'; readonly key: SubjectPublicKey }

export interface EkReportInput {
  readonly certificate: Certificate
  /** As read, padding included. */
  readonly original: Uint8Array
  readonly ek: KnownEk | undefined
  readonly supplied: readonly Certificate[]
  readonly roots: RootStore
  readonly policy: PathPolicy
  readonly now: Date
}

export interface RuleOutcome {
  readonly rule: string
  readonly outcome: 'pass' | 'warn' | 'fail'
  readonly message: string
}

/** Every rule with its outcome, for an operator who asks why a TPM is believed or not. */
export interface EkReport {
  readonly endorsed: boolean
  readonly purpose: CertificatePurpose
  readonly identity: TpmIdentity
  readonly rules: readonly RuleOutcome[]
  /** EK certificate first, root last; empty when no path was found. */
  readonly path: readonly { readonly subject: string; readonly fingerprint: string }[]
  /** The CA certificate that is missing, where that is why there is no path. */
  readonly missing: MissingCa | undefined
}

export interface MissingCa {
  readonly subject: string
  /** Hex. */
  readonly keyId: string | undefined
  /** Where the certificate that it issued says it is; claims. */
  readonly publishedAt: readonly string[]
}

/** Total: judges a certificate that was read, by the rules of verifyEndorsement(). */
export function reportEk(input: EkReportInput): EkReport {
  const { certificate, original, supplied, roots, policy, now } = input
  const { findings, identity } = checkEkCertificate(certificate)
  const rules: RuleOutcome[] = []
  for (const [rule, holds] of Object.entries(EK_CERTIFICATE_RULES)) {
    const found = findings.filter((f) => f.rule === rule)
    if (found.length === 0) rules.push({ rule, outcome: 'pass', message: holds })
    for (const { tier, message } of found) rules.push({ rule, outcome: tier === 'warning' ? 'warn' : 'fail', message })
  }
  for (const oddity of encodingOddities(certificate, original)) {
    rules.push({ rule: oddity, outcome: 'warn', message: `${ENCODING_ODDITIES[oddity]}; read all the same` })
  }
  rules.push(...keyRules(certificate, input.ek))
  const result = findPath(certificate, supplied, roots, policy, now)
  if (result.kind === 'path') {
    const names = result.path.slice(1).map((c) => describe(c))
    rules.push({ rule: 'ek-chain', outcome: 'pass', message: `issued by ${names.join(', which was issued by ')}` })
    for (const { rule, message } of result.findings) rules.push({ rule, outcome: 'warn', message })
  } else {
    rules.push({ rule: 'ek-chain', outcome: 'fail', message: `${result.message} (${result.code})` })
  }
  return {
    endorsed: rules.every((r) => r.outcome !== 'fail'),
    purpose: certificatePurpose(certificate),
    identity,
    rules,
    path:
      result.kind === 'path'
        ? result.path.map((c) => ({ subject: c.subject.text, fingerprint: toHex(c.fingerprint) }))
        : [],
    missing: result.kind === 'no-path' && result.orphan !== undefined ? missingCa(result.orphan) : undefined,
  }
}

function missingCa(orphan: Certificate): MissingCa {
  const keyId = orphan.extensions.authorityKeyId
  return {
    subject: orphan.issuer.text,
    keyId: keyId === undefined ? undefined : toHex(keyId),
    publishedAt: issuerLocations(orphan),
  }
}

function keyRules({ publicKey }: Certificate, ek: KnownEk | undefined): RuleOutcome[] {
  const rule = 'ek-cert.key'
  if (ek === undefined) {
    return [{ rule, outcome: 'warn', message: "key was not compared with the TPM's EK: none was given" }]
  }
  const mismatch = ek.kind === 'key' ? keyDifference(publicKey, ek.key) : keyMismatch(publicKey, ek.area)
  const same: RuleOutcome =
    mismatch === undefined
      ? { rule, outcome: 'pass', message: "key is that of the TPM's EK" }
      : { rule, outcome: 'fail', message: `certificate is not about this TPM's EK: ${mismatch}` }
  if (ek.kind === 'key') return [same]
  const template: RuleOutcome = isOfEkTemplate(ek.area)
    ? { rule: 'ek.template', outcome: 'pass', message: "EK's public area is of a TCG template" }
    : { rule: 'ek.template', outcome: 'fail', message: "EK's public area is of no TCG template" }
  return [same, template]
}

const keyDifference = (a: SubjectPublicKey, b: SubjectPublicKey): string | undefined =>
  sameKey(a, b) ? undefined : 'the keys differ'
