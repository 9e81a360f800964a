import type { EarDialect } from './ear.ts'

type Key = string | number

/** Names or keys of EAR's claims in one dialect and encoding. */
export interface EarLabels {
  readonly profile: Key
  readonly issuedAt: Key
  readonly expiresAt: Key
  readonly issuer: Key
  readonly subject: Key
  readonly nonce: Key
  readonly submods: Key
  readonly verifierId: Key
  readonly developer: Key
  readonly build: Key
  readonly rawEvidence: Key
  readonly status: Key
  readonly vector: Key
  readonly policyIds: Key
  readonly keyAttestation: Key
  readonly findings: Key
}

const JWT = {
  profile: 'eat_profile',
  issuedAt: 'iat',
  expiresAt: 'exp',
  issuer: 'iss',
  subject: 'sub',
  nonce: 'eat_nonce',
  submods: 'submods',
  developer: 'developer',
  build: 'build',
} as const

const DRAFT_JSON: EarLabels = {
  ...JWT,
  verifierId: 'ear_verifier_id',
  rawEvidence: 'ear_raw_evidence',
  status: 'ear_status',
  vector: 'ear_trustworthiness_vector',
  policyIds: 'ear_appraisal_policy_ids',
  keyAttestation: 'ear_veraison_key_attestation',
  findings: 'ear_holdfast_findings',
}

const DOTTED_JSON: EarLabels = {
  ...JWT,
  verifierId: 'ear.verifier-id',
  rawEvidence: 'ear.raw-evidence',
  status: 'ear.status',
  vector: 'ear.trustworthiness-vector',
  policyIds: 'ear.appraisal-policy-id',
  keyAttestation: 'ear.veraison.key-attestation',
  findings: 'ear.holdfast.findings',
}

/** Both dialects have the same keys. Those of extensions are of the private range, below -65536. */
const CBOR: EarLabels = {
  profile: 265,
  issuedAt: 6,
  expiresAt: 4,
  issuer: 1,
  subject: 2,
  nonce: 10,
  submods: 266,
  verifierId: 1004,
  developer: 0,
  build: 1,
  rawEvidence: 1002,
  status: 1000,
  vector: 1001,
  policyIds: 1003,
  keyAttestation: -70002,
  findings: -72100,
}

export function earLabels(dialect: EarDialect, encoding: 'json' | 'cbor'): EarLabels {
  if (encoding === 'cbor') return CBOR
  return dialect === 'draft-03' ? DRAFT_JSON : DOTTED_JSON
}
