import { utf8 } from '../base/index.ts'
import {
  asArray,
  asInteger,
  asMap,
  asText,
  decodeCborItem,
  optional,
  parseJson,
  type Value,
  type ValueMap,
} from '../encoding/index.ts'
import { TIER_VALUE, type Tier, type TrustworthinessVector, VECTOR_CLAIMS } from './ar4si.ts'
import { binary, CLAIMS_LIMITS, type ClaimsEncoding, nonces, rawEvidence } from './claims.ts'
import { checkEar, type Ear, type EarAppraisal, type EarDialect, earDialect } from './ear.ts'
import { type EarLabels, earLabels } from './ear-labels.ts'
import { badClaim, decoded, ResultError } from './errors.ts'
import { readFindings } from './findings.ts'

const MAX_TEXT = 4096
const MAX_SUBMODS = 256
const MAX_POLICIES = 256
/** Year 9999; also what a Date can hold. */
const MAX_TIME = 253_402_300_799
const TIERS: readonly Tier[] = ['none', 'affirming', 'warning', 'contraindicated']

/**
 * The claims set of an EAR in JSON, of a dialect that its profile names. Nothing is verified but its form.
 *
 * @throws ResultError RESULT_NOT_JSON, RESULT_TOO_LONG, RESULT_UNKNOWN_PROFILE, RESULT_BAD_CLAIM, RESULT_CONTRADICTION
 */
export function readEarJson(claims: Uint8Array | string): Ear {
  const bytes = typeof claims === 'string' ? utf8(claims) : claims
  return readEar(
    decoded('JSON', () => parseJson(bytes, CLAIMS_LIMITS)),
    'json',
  )
}

/**
 * The claims set of an EAR in CBOR, keys as draft-03 has them. Nothing is verified but its form.
 * @throws ResultError as readEarJson, with RESULT_NOT_CBOR
 */
export function readEarCbor(claims: Uint8Array): Ear {
  return readEar(
    decoded('CBOR', () => decodeCborItem(claims, CLAIMS_LIMITS)),
    'cbor',
  )
}

function readEar(value: Value, encoding: ClaimsEncoding): Ear {
  const claims = asMap(value, 'claims', badClaim)
  const profile = asText(claims.get(earLabels('draft-03', encoding).profile), 'eat_profile', MAX_TEXT, badClaim)
  const dialect = earDialect(profile)
  if (dialect === undefined) {
    throw new ResultError(
      'RESULT_UNKNOWN_PROFILE',
      `no EAR of profile ${JSON.stringify(profile.slice(0, 200))} is read`,
    )
  }
  const labels = earLabels(dialect, encoding)
  const expiresAt = optional(claims, labels.expiresAt, (v) => asInteger(v, 'exp', 0, MAX_TIME, badClaim))
  const issuer = optional(claims, labels.issuer, (v) => asText(v, 'iss', MAX_TEXT, badClaim))
  const subject = optional(claims, labels.subject, (v) => asText(v, 'sub', MAX_TEXT, badClaim))
  const evidence = optional(claims, labels.rawEvidence, (v) => rawEvidence(v, encoding))
  const status = optional(claims, labels.status, readStatus)
  const ear: Ear = {
    dialect,
    profile,
    issuedAt: asInteger(claims.get(labels.issuedAt), 'iat', 0, MAX_TIME, badClaim),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(issuer !== undefined && { issuer }),
    ...(subject !== undefined && { subject }),
    verifier: readVerifier(claims.get(labels.verifierId), labels),
    nonces: nonces(claims.get(labels.nonce), encoding),
    ...(evidence !== undefined && { rawEvidence: evidence }),
    ...(status !== undefined && { status }),
    submods: readSubmods(claims.get(labels.submods), dialect, encoding),
  }
  checkEar(ear)
  return ear
}

function readVerifier(value: Value | undefined, labels: EarLabels): Ear['verifier'] {
  const map = asMap(value, 'verifier id', badClaim)
  closed(map, 'verifier id', [labels.developer, labels.build])
  return {
    developer: asText(map.get(labels.developer), 'developer', MAX_TEXT, badClaim),
    build: asText(map.get(labels.build), 'build', MAX_TEXT, badClaim),
  }
}

function readSubmods(value: Value | undefined, dialect: EarDialect, encoding: ClaimsEncoding): Ear['submods'] {
  const map = asMap(value, 'submods', badClaim)
  if (map.size < 1 || map.size > MAX_SUBMODS) throw badClaim(`submods: ${map.size}, expected 1 to ${MAX_SUBMODS}`)
  return new Map(
    [...map].map(([label, submod]): [string, EarAppraisal] => {
      const name = asText(label, 'label of a submodule', MAX_TEXT, badClaim)
      return [name, readAppraisal(asMap(submod, `submods ${JSON.stringify(name)}`, badClaim), dialect, encoding)]
    }),
  )
}

function readAppraisal(claims: ValueMap, dialect: EarDialect, encoding: ClaimsEncoding): EarAppraisal {
  const labels = earLabels(dialect, encoding)
  const vector = optional(claims, labels.vector, (v) => readVector(v, encoding))
  const profile = optional(claims, labels.profile, (v) => asText(v, 'eat_profile', MAX_TEXT, badClaim))
  const attestedKey = optional(claims, labels.keyAttestation, (v) => {
    const key = asMap(v, 'key attestation', badClaim).get('akpub')
    return binary(key, 'akpub', encoding, 1, 16_384)
  })
  const findings = optional(claims, labels.findings, readFindings)
  return {
    status: readStatus(claims.get(labels.status)),
    ...(vector !== undefined && { vector }),
    policyIds: optional(claims, labels.policyIds, (v) => readPolicyIds(v, dialect)) ?? [],
    ...(profile !== undefined && { profile }),
    nonces: nonces(claims.get(labels.nonce), encoding),
    ...(attestedKey !== undefined && { attestedKey }),
    ...(findings !== undefined && { findings }),
  }
}

/** A word, or the number that CBOR and some writers of JSON have for it. */
function readStatus(value: Value | undefined): Tier {
  const tier = TIERS.find((name) => value === name || value === TIER_VALUE[name])
  if (tier === undefined) throw badClaim(`status: not one of ${TIERS.join(', ')}`)
  return tier
}

function readVector(value: Value, encoding: ClaimsEncoding): TrustworthinessVector {
  const map = asMap(value, 'trustworthiness vector', badClaim)
  if (map.size === 0) throw badClaim('trustworthiness vector: it is empty')
  const keys = encoding === 'json' ? VECTOR_CLAIMS : [...VECTOR_CLAIMS.keys()]
  closed(map, 'trustworthiness vector', keys)
  const vector: { [claim in (typeof VECTOR_CLAIMS)[number]]?: number } = {}
  for (const [i, claim] of VECTOR_CLAIMS.entries()) {
    const entry = map.get(encoding === 'json' ? claim : i)
    if (entry !== undefined) vector[claim] = asInteger(entry, claim, -128, 127, badClaim)
  }
  return vector
}

/** draft-03 has a list, the dotted dialect one text. */
function readPolicyIds(value: Value, dialect: EarDialect): readonly string[] {
  if (dialect === 'dotted') return [asText(value, 'policy id', MAX_TEXT, badClaim)]
  const ids = asArray(value, 'policy ids', MAX_POLICIES, badClaim)
  if (ids.length === 0) throw badClaim('policy ids: the list is empty')
  return ids.map((id) => asText(id, 'policy id', MAX_TEXT, badClaim))
}

function closed(map: ValueMap, what: string, keys: readonly (string | number)[]): void {
  for (const key of map.keys()) {
    if (!keys.includes(key)) throw badClaim(`${what}: ${JSON.stringify(key).slice(0, 64)} is not in it`)
  }
}
