import { equalBytes, toHex } from '../base/index.ts'
import { KeyError, verifyCertificateSignature } from '../crypto/index.ts'
import type { TpmPublic } from '../tpm2/index.ts'
import {
  type AttributeCertificate,
  decodeAttributeCertificate,
  isAttributeCertificate,
} from './attribute-certificate.ts'
import { type Certificate, decodeCertificate } from './certificate.ts'
import { findPath, type PathPolicy } from './chain.ts'
import { describe, iso } from './describe.ts'
import type { EndorsementFinding } from './ek-certificate.ts'
import { EndorsementError, type EndorsementErrorCode } from './errors.ts'
import type { Extensions } from './extensions.ts'
import { issuerKeyFault } from './issuer-rules.ts'
import { keyMismatch } from './match.ts'
import { EXT, TCG } from './oids.ts'
import { importKey } from './public-key.ts'
import { certificatePurpose } from './purpose.ts'
import { bySubject, type RootStore } from './roots.ts'

/** Most certificates of the signer's name that are tried for one attribute certificate. */
const MAX_SIGNERS = 16

/** What the maker of the machine says it is. */
export interface PlatformIdentity {
  readonly manufacturer: string | undefined
  readonly model: string | undefined
  readonly version: string | undefined
  readonly serial: string | undefined
}

/** What became of a platform certificate. It is never needed: an EK stands without. */
export type PlatformResult =
  | {
      /** Its signer leads to a root of the operator's store, and it is about this EK. */
      readonly kind: 'bound'
      readonly platform: PlatformIdentity
      readonly form: 'attribute-certificate' | 'certificate'
      /** Subject and SHA-256 (hex) of the root. */
      readonly root: { readonly subject: string; readonly fingerprint: string }
      readonly findings: readonly EndorsementFinding[]
    }
  | { readonly kind: 'refused'; readonly code: EndorsementErrorCode; readonly message: string }

export interface PlatformTrust {
  readonly roots: RootStore
  readonly policy: PathPolicy
  readonly now: Date
}

/** Whom a platform certificate has to be about. */
export interface PlatformSubject {
  readonly ek: TpmPublic
  /** Verified before; without one, only a certificate that holds the EK's own key can be bound. */
  readonly ekCertificate: Certificate | undefined
}

type Refusal = Extract<PlatformResult, { kind: 'refused' }>

/**
 * Checks a platform certificate: an attribute certificate whose holder is the EK certificate (TCG Platform Certificate
 * Profile 1.1), or an X.509 certificate that repeats the EK's key, as swtpm makes them. It binds the EK to a chassis.
 *
 * @param bytes as read from NV, padding included
 * @param supplied intermediates that came along, trusted for nothing
 */
export function verifyPlatform(
  bytes: Uint8Array,
  subject: PlatformSubject,
  supplied: readonly Certificate[],
  trust: PlatformTrust,
): PlatformResult {
  try {
    return isAttributeCertificate(bytes)
      ? verifyAttributes(decodeAttributeCertificate(bytes), subject, supplied, trust)
      : verifyKeyCertificate(decodeCertificate(bytes), subject, supplied, trust)
  } catch (err) {
    if (!(err instanceof EndorsementError)) throw err
    return refused(err.code, `platform certificate: ${err.message}`)
  }
}

function verifyAttributes(
  ac: AttributeCertificate,
  { ekCertificate }: PlatformSubject,
  supplied: readonly Certificate[],
  trust: PlatformTrust,
): PlatformResult {
  if (ac.holder === undefined)
    return refused('PLATFORM_NOT_BOUND', 'platform certificate does not name an EK certificate')
  const { issuer, serial } = ac.holder
  if (ekCertificate === undefined) {
    return refused(
      'PLATFORM_NOT_BOUND',
      'platform certificate names an EK certificate, and there is none to compare with',
    )
  }
  if (issuer.key !== ekCertificate.issuer.key || !equalBytes(serial, ekCertificate.serial)) {
    const got = `serial number ${toHex(serial.subarray(0, 21))} of "${issuer.text}"`
    return refused('PLATFORM_NOT_BOUND', `platform certificate is for another TPM: its holder is ${got}`)
  }
  const profile = profileFault(ac.extensions) ?? periodFault(ac, trust)
  if (profile !== undefined) return profile
  return verifySigner(ac, supplied, trust)
}

/**
 * The signer is no CA of its own (RFC 5755 §4.5): it is looked for among the operator's certificates and those that
 * came along.
 */
function verifySigner(
  ac: AttributeCertificate,
  supplied: readonly Certificate[],
  trust: PlatformTrust,
): PlatformResult {
  const { roots, policy, now } = trust
  // a device's owner can have its IDevID or AK sign what he likes, and its certificate leads to a maker's root too
  const signers = supplied.filter((c) => ['signer', 'ca'].includes(certificatePurpose(c)))
  const candidates = [roots.anchors, roots.intermediates, bySubject(signers)].flatMap((s) => s.get(ac.issuer.key) ?? [])
  let fault = refused(
    'EK_CHAIN_ISSUER_UNKNOWN',
    `certificate of the platform certificate's signer missing: ${ac.issuer.text}; ` +
      "get it from the machine's maker and add it with `holdfast roots import FILE`",
  )
  for (const signer of candidates.slice(0, MAX_SIGNERS)) {
    const wrong = signatureFault(ac, signer, policy)
    if (wrong !== undefined) {
      fault = refused('EK_CHAIN_SIGNATURE_INVALID', wrong)
      continue
    }
    const anchored = roots.anchorFingerprints.has(toHex(signer.fingerprint))
    const result = anchored
      ? ({ kind: 'path', path: [signer], findings: [] } as const)
      : findPath(signer, supplied, roots, policy, now)
    if (result.kind === 'path') return bound('attribute-certificate', ac.extensions, result.path, result.findings)
    fault = refused(result.code, `platform certificate: ${result.message}`)
  }
  return fault
}

function signatureFault(ac: AttributeCertificate, signer: Certificate, policy: PathPolicy): string | undefined {
  const { keyUsage } = signer.extensions
  if (keyUsage !== undefined && !keyUsage.has('digitalSignature') && !keyUsage.has('keyCertSign')) {
    return `${describe(signer)} may not sign (KeyUsage)`
  }
  const { signatureScheme: scheme } = ac
  const key = signer.publicKey
  if (scheme === undefined || (scheme.hash === 'sha1' && policy.sha1 === 'refuse')) {
    return `platform certificate is signed with algorithm ${ac.signatureOid}, which is not accepted`
  }
  const weak = issuerKeyFault(key)
  if (weak !== undefined || key.kind === 'unsupported') return `the key of ${describe(signer)} ${weak}`
  if ((key.kind === 'ec') !== (scheme.alg === 'ecdsa')) return 'platform certificate is signed with another kind of key'
  try {
    const good = verifyCertificateSignature(importKey(key), scheme, ac.signedBytes, ac.signature)
    return good
      ? undefined
      : `signature of the platform certificate does not verify with the key of ${describe(signer)}`
  } catch (err) {
    if (!(err instanceof KeyError)) throw err
    return `the key of ${describe(signer)} cannot be used: ${err.message}`
  }
}

function verifyKeyCertificate(
  certificate: Certificate,
  { ek }: PlatformSubject,
  supplied: readonly Certificate[],
  { roots, policy, now }: PlatformTrust,
): PlatformResult {
  const mismatch = keyMismatch(certificate.publicKey, ek)
  if (mismatch !== undefined)
    return refused('PLATFORM_NOT_BOUND', `platform certificate is for another TPM: ${mismatch}`)
  const profile = profileFault(certificate.extensions)
  if (profile !== undefined) return profile
  if (certificate.extensions.basicConstraints?.ca === true)
    return refused('PLATFORM_PROFILE', 'platform certificate is a CA')
  const result = findPath(certificate, supplied, roots, policy, now)
  if (result.kind === 'no-path') return refused(result.code, `platform certificate: ${result.message}`)
  return bound('certificate', certificate.extensions, result.path, result.findings)
}

/** Critical extensions that are read here or in paths. */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXT.basicConstraints,
  EXT.keyUsage,
  EXT.extKeyUsage,
  EXT.subjectAltName,
  EXT.certificatePolicies,
])
const PURPOSES: readonly string[] = [TCG.platformCertificate, TCG.platformKeyCertificate]

function profileFault(extensions: Extensions): Refusal | undefined {
  const unknown = [...extensions.critical].find((oid) => !UNDERSTOOD.has(oid))
  if (unknown !== undefined) {
    return refused(
      'PLATFORM_PROFILE',
      `platform certificate has critical extension ${unknown}, which is not understood`,
    )
  }
  // absent in certificates of profile 1.0; delta certificates have another purpose and bind nothing by themselves
  if (extensions.extKeyUsage !== undefined && !extensions.extKeyUsage.some((oid) => PURPOSES.includes(oid))) {
    return refused('PLATFORM_PROFILE', 'certificate is not for platforms (ExtendedKeyUsage)')
  }
  const names = extensions.subjectAltName?.directoryNames.length ?? 0
  if (names !== 1) {
    return refused('PLATFORM_PROFILE', `platform certificate has ${names} directoryNames in SubjectAltName, wanted 1`)
  }
  return undefined
}

/**
 * Attribute certificates are no part of a path, so their own time is looked at here; a machine outlives its warranty as
 * a TPM does.
 */
function periodFault(ac: AttributeCertificate, { policy, now }: PlatformTrust): Refusal | undefined {
  if (now < ac.notBefore) return refused('EK_CERT_VALIDITY', `platform certificate is valid from ${iso(ac.notBefore)}`)
  if (policy.validity === 'strict' && now > ac.notAfter) {
    return refused('EK_CERT_VALIDITY', `platform certificate was valid until ${iso(ac.notAfter)}`)
  }
  return undefined
}

function bound(
  form: 'attribute-certificate' | 'certificate',
  extensions: Extensions,
  path: readonly Certificate[],
  findings: readonly EndorsementFinding[],
): PlatformResult {
  const attributes = extensions.subjectAltName?.directoryNames[0]?.attributes ?? []
  const value = (oid: string): string | undefined =>
    attributes
      .find((a) => a.type === oid)
      ?.value.slice(0, MAX_TEXT)
      .replace(/\p{C}/gu, '?')
  const root = path[path.length - 1]
  return {
    kind: 'bound',
    form,
    platform: {
      manufacturer: value(TCG.platformManufacturer),
      model: value(TCG.platformModel),
      version: value(TCG.platformVersion),
      serial: value(TCG.platformSerial),
    },
    root: { subject: root?.subject.text ?? '', fingerprint: toHex(root?.fingerprint ?? new Uint8Array()) },
    findings,
  }
}

/** Names of machines go into records, findings and onto terminals. */
const MAX_TEXT = 128

function refused(code: EndorsementErrorCode, message: string): Refusal {
  return { kind: 'refused', code, message: message.slice(0, MAX_MESSAGE) }
}

const MAX_MESSAGE = 1000
