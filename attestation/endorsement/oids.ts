import type { EcCurve } from '../crypto/index.ts'

/** Extensions of RFC 5280 §4.2 that are read here. */
export const EXT = {
  subjectDirectoryAttributes: '2.5.29.9',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  certificatePolicies: '2.5.29.32',
  authorityKeyIdentifier: '2.5.29.35',
  extKeyUsage: '2.5.29.37',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  /** Google Compute Engine: zone, project and instance of a virtual machine, in its vTPM's certificates. */
  gceInstanceInfo: '1.3.6.1.4.1.11129.2.1.21',
} as const

/** Extensions of a CRL and of its entries (RFC 5280 §5.2, §5.3). */
export const CRL_EXT = {
  number: '2.5.29.20',
  reason: '2.5.29.21',
  deltaIndicator: '2.5.29.27',
  issuingDistributionPoint: '2.5.29.28',
} as const

/** TCG numbers: TCG EK Credential Profile 2.x §3.2, TCG OID registry. */
export const TCG = {
  tpmManufacturer: '2.23.133.2.1',
  tpmModel: '2.23.133.2.2',
  tpmVersion: '2.23.133.2.3',
  tpmSpecification: '2.23.133.2.16',
  /** tcg-kp-EKCertificate */
  ekCertificate: '2.23.133.8.1',
  /** tcg-kp-AIKCertificate */
  akCertificate: '2.23.133.8.3',
  /** tcg-kp-PlatformAttributeCertificate and tcg-kp-PlatformKeyCertificate (TCG Platform Certificate Profile 1.1 §3) */
  platformCertificate: '2.23.133.8.2',
  platformKeyCertificate: '2.23.133.8.4',
  platformManufacturer: '2.23.133.5.1.1',
  platformModel: '2.23.133.5.1.4',
  platformVersion: '2.23.133.5.1.5',
  platformSerial: '2.23.133.5.1.6',
  /** tcg-cap-verifiedTPMResidency: an IDevID or IAK (TPM 2.0 Keys for Device Identity and Attestation §8) */
  verifiedTpmResidency: '2.23.133.11.1.1',
} as const

/** Algorithms of a SubjectPublicKeyInfo. */
export const KEY = {
  rsa: '1.2.840.113549.1.1.1',
  /** Older Infineon, Intel and AMD EK certificates say RSAES-OAEP; the key itself is written as for `rsa`. */
  rsaOaep: '1.2.840.113549.1.1.7',
  ec: '1.2.840.10045.2.1',
} as const

export const CURVES: ReadonlyMap<string, EcCurve> = new Map([
  ['1.2.840.10045.3.1.7', 'P-256'],
  ['1.3.132.0.34', 'P-384'],
  ['1.3.132.0.35', 'P-521'],
])

/** Short names of attribute types for messages (RFC 4514 §3 and what vendors use). */
export const ATTRIBUTE_NAMES: ReadonlyMap<string, string> = new Map([
  ['2.5.4.3', 'CN'],
  ['2.5.4.5', 'serialNumber'],
  ['2.5.4.6', 'C'],
  ['2.5.4.7', 'L'],
  ['2.5.4.8', 'ST'],
  ['2.5.4.10', 'O'],
  ['2.5.4.11', 'OU'],
  ['0.9.2342.19200300.100.1.25', 'DC'],
  ['1.2.840.113549.1.9.1', 'emailAddress'],
])
