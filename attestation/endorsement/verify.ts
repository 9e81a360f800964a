import { toHex } from '../base/index.ts'
import { decodePublic, nodeIdOf, type TpmPublic, WireError } from '../tpm2/index.ts'
import { parseCertificateBundle } from './bundle.ts'
import { type Certificate, decodeCertificate, MAX_CERTIFICATE_BYTES } from './certificate.ts'
import { findPath, type PathPolicy } from './chain.ts'
import { checkEkCertificate, type EndorsementFinding, type TpmIdentity } from './ek-certificate.ts'
import { EndorsementError, type EndorsementErrorCode } from './errors.ts'
import { isOfEkTemplate, keyMismatch } from './match.ts'
import { type PlatformResult, verifyPlatform } from './platform.ts'
import type { RootStore } from './roots.ts'

/** Most certificates that a node may send along; TPMs hold up to 5 in NV. */
const MAX_SUPPLIED_CERTIFICATES = 16

/** Most bytes that a node may send along in all: that many certificates of the largest size read. */
const MAX_SUPPLIED_BYTES = MAX_SUPPLIED_CERTIFICATES * MAX_CERTIFICATE_BYTES

export interface EndorsementClaim {
  /** TPMT_PUBLIC of the EK as the TPM gave it, without a TPM2B size. */
  readonly ekPublic: Uint8Array
  /** EK certificate as read from NV, padding included. */
  readonly ekCertificate?: Uint8Array
  /** Intermediates as read from NV; each item may hold several certificates. */
  readonly ekChain: readonly Uint8Array[]
  /** Platform certificate as read from NV, padding included. */
  readonly platformCertificate?: Uint8Array
}

export interface EndorsementTrust {
  readonly roots: RootStore
  /** Node IDs of EKs that the operator vouches for, as nodeIdOf() gives them: SHA-256 of TPMT_PUBLIC in hex. */
  readonly listed: ReadonlySet<string>
  readonly policy: PathPolicy
  readonly now: Date
}

/** One certificate of a path, for records and reports. */
export interface PathEntry {
  readonly subject: string
  /** SHA-256 of the certificate, hex. */
  readonly fingerprint: string
  readonly notBefore: Date
  readonly notAfter: Date
  /** DER. */
  readonly bytes: Uint8Array
}

/** Why an EK is believed to be a manufacturer's, or why it is not. There is no outcome that trusts by default. */
export type EndorsementResult =
  | {
      /** The EK certificate leads to a root of the operator's store. */
      readonly kind: 'chain'
      readonly nodeId: string
      readonly identity: TpmIdentity
      /** EK certificate first, root last. */
      readonly path: readonly PathEntry[]
      readonly root: PathEntry
      /** What became of the platform certificate, where one came along. */
      readonly platform?: PlatformResult
      /** Warnings only. */
      readonly findings: readonly EndorsementFinding[]
    }
  | {
      /** The operator listed this EK; warnings tell what became of a certificate, if one came along. */
      readonly kind: 'listed'
      readonly nodeId: string
      readonly platform?: PlatformResult
      readonly findings: readonly EndorsementFinding[]
    }
  | {
      readonly kind: 'refused'
      readonly code: EndorsementErrorCode
      readonly message: string
      readonly findings: readonly EndorsementFinding[]
    }

type Refusal = Extract<EndorsementResult, { kind: 'refused' }>

/**
 * Decides whether an EK is endorsed: by a manufacturer's certificate that leads to a root of the operator's store, or
 * by the operator's list. It proves nothing about who holds the EK: activation does (TPM 2.0 Part 1 r1.59 §24).
 */
export function verifyEndorsement(claim: EndorsementClaim, trust: EndorsementTrust): EndorsementResult {
  let ek: TpmPublic
  try {
    ek = decodePublic(claim.ekPublic)
  } catch (err) {
    if (!(err instanceof WireError)) throw err
    return refused('EK_UNSUPPORTED', `EK public area cannot be read: ${err.message}`)
  }
  if (ek.type !== 'rsa' && ek.type !== 'ecc')
    return refused('EK_UNSUPPORTED', `EK is a ${ek.type} object, wanted an RSA or ECC key`)
  const id = nodeIdOf(claim.ekPublic)
  const certified =
    claim.ekCertificate === undefined ? undefined : verifyCertified(ek, id, claim, claim.ekCertificate, trust)
  if (certified?.kind === 'chain') return certified
  if (trust.listed.has(id)) {
    const ignored = certified === undefined ? [] : [ignoredCertificate(certified)]
    return { kind: 'listed', nodeId: id, ...platformOf(claim, ek, undefined, trust), findings: ignored }
  }
  return (
    certified ??
    refused(
      'EK_NOT_ENDORSED',
      `the TPM has no EK certificate and the operator has not listed its EK; if the machine is known, list EK ${id}`,
    )
  )
}

function verifyCertified(
  ek: TpmPublic,
  id: string,
  claim: EndorsementClaim,
  certificateBytes: Uint8Array,
  trust: EndorsementTrust,
): Exclude<EndorsementResult, { kind: 'listed' }> {
  let certificate: Certificate
  let supplied: readonly Certificate[]
  try {
    certificate = decodeCertificate(certificateBytes)
    supplied = readSupplied(claim.ekChain)
  } catch (err) {
    if (!(err instanceof EndorsementError)) throw err
    return refused(err.code, `EK certificate: ${err.message}`)
  }
  const { findings, identity } = checkEkCertificate(certificate)
  const mismatch = keyMismatch(certificate.publicKey, ek)
  if (mismatch !== undefined) {
    return refused('EK_CERT_KEY_MISMATCH', `EK certificate is not about this TPM's EK: ${mismatch}`, findings)
  }
  const faults = findings.filter((f) => f.tier === 'contraindicated')
  if (faults.length > 0) {
    const list = faults.map((f) => `${f.message} (${f.rule})`).join('; ')
    return refused('EK_CERT_PROFILE', `EK certificate breaks the TCG profile: ${list}`, findings)
  }
  const result = findPath(certificate, supplied, trust.roots, trust.policy, trust.now)
  if (result.kind === 'no-path') return refused(result.code, result.message, findings)
  if (!isOfEkTemplate(ek)) {
    const message =
      'EK public area is of no template of the TCG EK Credential Profile: under another Name it would be another node'
    return refused('EK_TEMPLATE', message, findings)
  }
  const path = result.path.map(pathEntry)
  return {
    kind: 'chain',
    nodeId: id,
    identity,
    path,
    root: pathEntry(result.path[result.path.length - 1] ?? certificate),
    ...platformOf(claim, ek, certificate, trust),
    findings: [...findings, ...result.findings],
  }
}

function platformOf(
  claim: EndorsementClaim,
  ek: TpmPublic,
  ekCertificate: Certificate | undefined,
  trust: EndorsementTrust,
): { readonly platform?: PlatformResult } {
  if (claim.platformCertificate === undefined) return {}
  const supplied = ekCertificate === undefined ? [] : readSupplied(claim.ekChain) // else it has been read without complaint
  return { platform: verifyPlatform(claim.platformCertificate, { ek, ekCertificate }, supplied, trust) }
}

/** Items that hold no certificate are passed over: NV indices of the range may be empty or hold something else. */
function readSupplied(chain: readonly Uint8Array[]): readonly Certificate[] {
  const supplied: Certificate[] = []
  const sizeBytes = chain.reduce((sum, item) => sum + item.length, 0)
  if (sizeBytes > MAX_SUPPLIED_BYTES) {
    throw new EndorsementError(
      'CERT_TOO_LARGE',
      `${sizeBytes} bytes of chain came with it, at most ${MAX_SUPPLIED_BYTES} are read`,
    )
  }
  for (const item of chain) {
    supplied.push(...parseCertificateBundle(item, MAX_SUPPLIED_CERTIFICATES).certificates)
    if (supplied.length > MAX_SUPPLIED_CERTIFICATES) {
      throw new EndorsementError('CERT_TOO_LARGE', `more than ${MAX_SUPPLIED_CERTIFICATES} certificates came with it`)
    }
  }
  return supplied
}

export function pathEntry(c: Certificate): PathEntry {
  return {
    subject: c.subject.text,
    fingerprint: toHex(c.fingerprint),
    notBefore: c.notBefore,
    notAfter: c.notAfter,
    bytes: c.bytes,
  }
}

function ignoredCertificate(refusal: Refusal): EndorsementFinding {
  return {
    rule: 'ek-cert.ignored',
    tier: 'warning',
    message: `EK is listed; its certificate was not accepted: ${refusal.code}: ${refusal.message}`,
  }
}

function refused(code: EndorsementErrorCode, message: string, findings: readonly EndorsementFinding[] = []): Refusal {
  return { kind: 'refused', code, message: message.slice(0, MAX_MESSAGE), findings }
}

/** As much as the protocol's messages carry. */
const MAX_MESSAGE = 2000
