import { bytesText } from '../crypto/index.ts'
import type { Certificate } from './certificate.ts'
import { DerReader, oidText, smallInteger, TAG } from './der.ts'
import { iso } from './describe.ts'
import { EndorsementError } from './errors.ts'
import type { KeyUsageBit } from './extensions.ts'
import { EXT, TCG } from './oids.ts'
import { modulusBits, weakness } from './public-key.ts'
import { vendorName } from './vendors.ts'

/** Rules of the TCG EK Credential Profile 2.x, each with a stable id. */
export type EkCertificateRule =
  | 'ek-cert.version'
  | 'ek-cert.serial'
  | 'ek-cert.issuer'
  | 'ek-cert.validity-period'
  | 'ek-cert.public-key'
  | 'ek-cert.weak-key'
  | 'ek-cert.basic-constraints'
  | 'ek-cert.key-usage'
  | 'ek-cert.ext-key-usage'
  | 'ek-cert.authority-key-id'
  | 'ek-cert.subject-alt-name'
  | 'ek-cert.tpm-attributes'
  | 'ek-cert.vendor'
  | 'ek-cert.tpm-specification'
  | 'ek-cert.critical-extension'

/** What holds where a rule has no finding, for reports; in the order in which findings come. */
export const EK_CERTIFICATE_RULES: Readonly<Record<EkCertificateRule, string>> = {
  'ek-cert.version': 'X.509 version 3',
  'ek-cert.serial': 'serial number is positive and of at most 20 bytes',
  'ek-cert.issuer': 'issuer is named',
  'ek-cert.validity-period': 'validity ends after it begins',
  'ek-cert.public-key': 'key is RSA of 2048 bits or more, P-256, P-384 or P-521',
  'ek-cert.weak-key': 'nothing is known against the key: not of the ROCA generator, odd modulus and exponent',
  'ek-cert.basic-constraints': 'BasicConstraints is critical and says that this is no CA',
  'ek-cert.key-usage': 'KeyUsage is critical and lets the key encipher keys (RSA) or agree on them (ECC), no more',
  'ek-cert.ext-key-usage': 'ExtendedKeyUsage says: certificate of an endorsement key',
  'ek-cert.authority-key-id': "issuer's key is identified",
  'ek-cert.subject-alt-name': 'SubjectAltName has exactly one directory name',
  'ek-cert.tpm-attributes': 'which names TPM manufacturer, model and version, each once',
  'ek-cert.vendor': 'manufacturer is one that is known',
  'ek-cert.tpm-specification': 'TPM specification is absent, or readable and of family 2.0',
  'ek-cert.critical-extension': 'no critical extension is unknown',
}

/**
 * Rules on the path from an EK certificate to a root; a finding of these is a warning, what they refuse is an error
 * code.
 */
export type PathRule = 'ek-chain.sha1' | 'ek-chain.validity' | 'ek-chain.crl'

/** What a rule found; no finding means that the rule holds. `contraindicated` refuses the certificate. */
export interface EndorsementFinding {
  readonly rule: EkCertificateRule | PathRule | 'ek-cert.ignored'
  readonly tier: 'warning' | 'contraindicated'
  readonly message: string
}

/** What the manufacturer says the TPM is. */
export interface TpmIdentity {
  /**
   * `id:` and the vendor's four ASCII bytes in hex, e.g. `id:53544D20`; undefined only for a GCE vTPM without TPM
   * attributes.
   */
  readonly manufacturer: string | undefined
  /** Those bytes as text where they are text, e.g. `STM`. */
  readonly manufacturerName: string | undefined
  /** Name of the maker, where it is one that is known, e.g. `STMicroelectronics`. */
  readonly vendor: string | undefined
  readonly model: string | undefined
  /** `id:` and the firmware version in hex, vendor-defined. */
  readonly version: string | undefined
  /** TPMSpecification attribute: family `2.0`, level and revision (e.g. 0 and 138). */
  readonly specification: { readonly family: string; readonly level: number; readonly revision: number } | undefined
}

/** Critical extensions that the rules below read, or that say nothing which they need (policies). */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXT.basicConstraints,
  EXT.keyUsage,
  EXT.extKeyUsage,
  EXT.subjectAltName,
  EXT.certificatePolicies,
])
const MIN_RSA_BITS = 2048
/** Largest serial number of RFC 5280 §4.1.2.2; with the sign octet it may take one more. */
const MAX_SERIAL_BYTES = 21

/**
 * Judges an EK certificate by the TCG EK Credential Profile 2.x (rules in README.md beside this file), without
 * regard to who signed it.
 *
 * @returns findings in a fixed order, empty when all rules hold, and what the certificate says of the TPM
 */
export function checkEkCertificate(certificate: Certificate): {
  readonly findings: readonly EndorsementFinding[]
  readonly identity: TpmIdentity
} {
  const findings: EndorsementFinding[] = []
  const refuse = (rule: EkCertificateRule, message: string) => findings.push({ rule, tier: 'contraindicated', message })
  const warn = (rule: EkCertificateRule, message: string) => findings.push({ rule, tier: 'warning', message })
  const { extensions } = certificate

  if (certificate.version !== 3) refuse('ek-cert.version', `version is ${certificate.version}, wanted 3`)
  checkSerial(certificate.serial, refuse, warn)
  if (certificate.issuer.attributes.length === 0) refuse('ek-cert.issuer', 'issuer name is empty')
  if (certificate.notAfter < certificate.notBefore) {
    const { notBefore, notAfter } = certificate
    refuse('ek-cert.validity-period', `validity ends ${iso(notAfter)}, before it begins ${iso(notBefore)}`)
  }
  checkPublicKey(certificate, refuse)
  if (extensions.basicConstraints === undefined) refuse('ek-cert.basic-constraints', 'BasicConstraints is absent')
  else if (extensions.basicConstraints.ca) refuse('ek-cert.basic-constraints', 'certificate is a CA, an EK never is')
  else if (!extensions.critical.has(EXT.basicConstraints)) {
    refuse('ek-cert.basic-constraints', 'BasicConstraints is not critical')
  }
  checkKeyUsage(certificate, refuse, warn)
  if (extensions.extKeyUsage === undefined) {
    warn('ek-cert.ext-key-usage', `ExtendedKeyUsage is absent, wanted ${TCG.ekCertificate}; usual in old certificates`)
  } else if (!extensions.extKeyUsage.includes(TCG.ekCertificate)) {
    refuse('ek-cert.ext-key-usage', `ExtendedKeyUsage is not for EK certificates (${TCG.ekCertificate})`)
  }
  if (!extensions.present.includes(EXT.authorityKeyIdentifier)) {
    refuse('ek-cert.authority-key-id', 'AuthorityKeyIdentifier is absent')
  }
  const attributes = checkSubjectAltName(certificate, refuse, warn)
  const specification = readSpecification(extensions.subjectDirectoryAttributes, warn)
  if (specification !== undefined && specification.family !== '2.0') {
    warn('ek-cert.tpm-specification', `TPM specification family is ${shown(specification.family)}, wanted 2.0`)
  }
  for (const oid of extensions.critical) {
    if (!UNDERSTOOD.has(oid)) refuse('ek-cert.critical-extension', `critical extension ${oid} is not understood`)
  }
  return { findings, identity: { ...attributes, specification } }
}

type Report = (rule: EkCertificateRule, message: string) => void

function checkSerial(serial: Uint8Array, refuse: Report, warn: Report): void {
  const first = serial[0] ?? 0
  if ((first & 0x80) !== 0) refuse('ek-cert.serial', 'serial number is negative')
  else if (serial.every((b) => b === 0)) refuse('ek-cert.serial', 'serial number is 0')
  else if (serial.length > MAX_SERIAL_BYTES)
    warn('ek-cert.serial', `serial number has ${serial.length} bytes, wanted at most 20`)
}

function checkPublicKey({ publicKey }: Certificate, refuse: Report): void {
  if (publicKey.kind === 'unsupported') refuse('ek-cert.public-key', `public key is not supported: ${publicKey.reason}`)
  else if (publicKey.kind === 'rsa' && modulusBits(publicKey.modulus) < MIN_RSA_BITS) {
    refuse('ek-cert.public-key', `RSA key has ${modulusBits(publicKey.modulus)} bits, wanted at least ${MIN_RSA_BITS}`)
  }
  const weak = weakness(publicKey)
  if (weak !== undefined) refuse('ek-cert.weak-key', `key ${weak}`)
}

function checkKeyUsage({ publicKey, extensions }: Certificate, refuse: Report, warn: Report): void {
  const rule = 'ek-cert.key-usage'
  const wanted: KeyUsageBit = publicKey.kind === 'rsa' ? 'keyEncipherment' : 'keyAgreement'
  const usage = extensions.keyUsage
  if (usage === undefined) {
    refuse(rule, `KeyUsage is absent, wanted ${wanted}`)
    return
  }
  if (!extensions.critical.has(EXT.keyUsage)) refuse(rule, 'KeyUsage is not critical')
  if (!usage.has(wanted)) refuse(rule, `KeyUsage is ${[...usage].join(', ') || 'empty'}, wanted ${wanted}`)
  if (usage.has('keyCertSign') || usage.has('cRLSign')) refuse(rule, 'KeyUsage lets an EK sign certificates or CRLs')
  else if (usage.has(wanted) && usage.size > 1)
    warn(rule, `KeyUsage is ${[...usage].join(', ')}, wanted ${wanted} alone`)
}

type TpmAttributes = Omit<TpmIdentity, 'specification'>
const NO_ATTRIBUTES: TpmAttributes = {
  manufacturer: undefined,
  manufacturerName: undefined,
  vendor: undefined,
  model: undefined,
  version: undefined,
}

function checkSubjectAltName({ subject, extensions }: Certificate, refuse: Report, warn: Report): TpmAttributes {
  const rule = 'ek-cert.subject-alt-name'
  const san = extensions.subjectAltName
  if (san === undefined) {
    // Google's newer vTPM CA names zone, project and instance in its own extension, and no TPM model.
    if (extensions.present.includes(EXT.gceInstanceInfo)) {
      warn(rule, 'SubjectAltName is absent; the GCE instance extension stands in for it')
    } else refuse(rule, 'SubjectAltName with the TPM manufacturer, model and version is absent')
    return NO_ATTRIBUTES
  }
  if (subject.attributes.length === 0 && !extensions.critical.has(EXT.subjectAltName)) {
    refuse(rule, 'subject is empty and SubjectAltName is not critical')
  }
  const name = san.directoryNames[0]
  if (name === undefined || san.directoryNames.length > 1) {
    refuse(rule, `SubjectAltName has ${san.directoryNames.length} directoryNames, wanted exactly 1`)
    return NO_ATTRIBUTES
  }
  const value = (oid: string, label: string): string | undefined => {
    const found = name.attributes.filter((a) => a.type === oid)
    if (found.length === 1) return found[0]?.value
    refuse('ek-cert.tpm-attributes', `SubjectAltName has ${found.length} ${label} attributes (${oid}), wanted 1`)
    return undefined
  }
  const manufacturer = value(TCG.tpmManufacturer, 'TPM manufacturer')
  const model = value(TCG.tpmModel, 'TPM model')
  const version = value(TCG.tpmVersion, 'TPM version')
  if (manufacturer !== undefined && manufacturerBytes(manufacturer) === undefined) {
    refuse('ek-cert.tpm-attributes', `TPM manufacturer is ${shown(manufacturer)}, wanted id: and 8 hex digits`)
  }
  const vendor = vendorName(manufacturer)
  if (vendor === undefined && manufacturerBytes(manufacturer) !== undefined) {
    warn('ek-cert.vendor', `TPM manufacturer ${shown(manufacturer ?? '')} is in no list of TPM makers`)
  }
  if (version !== undefined && !/^id:[0-9A-Fa-f]{1,16}$/.test(version)) {
    warn('ek-cert.tpm-attributes', `TPM version is ${shown(version)}, wanted id: and hex digits`)
  }
  return { manufacturer, manufacturerName: vendorText(manufacturer), vendor, model, version }
}

/** The 8 hex digits of `id:...`. */
const manufacturerBytes = (manufacturer: string | undefined): string | undefined =>
  /^id:([0-9A-Fa-f]{8})$/.exec(manufacturer ?? '')?.[1]

/** `id:4E544300` gives `NTC`; undefined where the bytes are no printable ASCII. */
function vendorText(manufacturer: string | undefined): string | undefined {
  const digits = manufacturerBytes(manufacturer)
  if (digits === undefined) return undefined
  const text = digits.replace(/../g, (pair) => String.fromCharCode(Number.parseInt(pair, 16))).replace(/[\0 ]+$/, '')
  return /^[\x20-\x7e]+$/.test(text) ? text : undefined
}

/** TPMSpecification (profile §3.1.3.1) of SubjectDirectoryAttributes; vendors vary, so a fault is a warning. */
function readSpecification(bytes: Uint8Array | undefined, warn: Report): TpmIdentity['specification'] {
  if (bytes === undefined) return undefined
  try {
    const list = new DerReader(bytes, 'subjectDirectoryAttributes').sequence('value')
    while (!list.done) {
      const attribute = list.sequence('attribute')
      if (oidText(attribute.expect('type', TAG.oid).content) !== TCG.tpmSpecification) continue
      const values = new DerReader(attribute.expect('values', TAG.set).content, 'tpmSpecification')
      const r = values.sequence('value')
      return {
        family: bytesText(r.expect('family', TAG.utf8String).content).slice(0, 16),
        level: smallInteger(r.expect('level', TAG.integer).content, 'tpmSpecification.level'),
        revision: smallInteger(r.expect('revision', TAG.integer).content, 'tpmSpecification.revision'),
      }
    }
    return undefined
  } catch (err) {
    if (!(err instanceof EndorsementError)) throw err
    warn('ek-cert.tpm-specification', `SubjectDirectoryAttributes cannot be read: ${err.message}`)
    return undefined
  }
}

/** Values come from the node's side and end in messages. */
const shown = (text: string): string => JSON.stringify(text.slice(0, 64))
