import type { Tier, TrustworthinessVector, VectorClaim } from './ar4si.ts'
import { isBetterTier, tierOfValue, worstTier } from './ar4si.ts'
import type { Nonce } from './claims.ts'
import { ResultError } from './errors.ts'
import type { EarFinding } from './findings.ts'

/** Profile of draft-ietf-rats-ear-03, whose claim names have underscores. */
export const EAR_PROFILE = 'tag:ietf.org,2026:rats/ear#03'
/** Profile of the veraison/ear libraries, whose claim names have dots. */
export const EAR_PROFILE_VERAISON = 'tag:github.com,2023:veraison/ear'
/** Profile of Confidential Containers' Trustee; names as veraison's. */
export const EAR_PROFILE_TRUSTEE = 'tag:github.com,2024:confidential-containers/Trustee'
/** Media type application/eat+jwt (RFC 9782), as the typ of a JWT. */
export const EAR_TYPE = 'eat+jwt'

/** How claims are named. The profile decides. */
export type EarDialect = 'draft-03' | 'dotted'

/** The appraisal of one attester. Source: draft-ietf-rats-ear-03 §3.1. */
export interface EarAppraisal {
  readonly status: Tier
  /** Absent where the verifier was asked to leave it out; then nothing says why the status is what it is. */
  readonly vector?: TrustworthinessVector
  readonly policyIds: readonly string[]
  /** Profile of the submodule's own claims. */
  readonly profile?: string
  /** Nonces of the evidence, which are not those of the result. */
  readonly nonces: readonly Nonce[]
  /** SubjectPublicKeyInfo (DER, not checked) of a key that the attester proved; Veraison's extension. */
  readonly attestedKey?: Uint8Array
  /** What each rule said; Holdfast's extension. */
  readonly findings?: readonly EarFinding[]
}

/** An attestation result. Claims that are not known here are ignored, as §4 asks. Source: draft-ietf-rats-ear-03 §3. */
export interface Ear {
  readonly dialect: EarDialect
  readonly profile: string
  /** Seconds since 1970. */
  readonly issuedAt: number
  readonly expiresAt?: number
  readonly issuer?: string
  readonly subject?: string
  readonly verifier: { readonly developer: string; readonly build: string }
  readonly nonces: readonly Nonce[]
  readonly rawEvidence?: Uint8Array
  /** Over all submodules; optional in draft-03, and absent in the dotted dialect. */
  readonly status?: Tier
  /** At least one, by the verifier's label. */
  readonly submods: ReadonlyMap<string, EarAppraisal>
}

/** @returns the dialect that a profile's claims are named in; undefined for a profile that is not known here */
export function earDialect(profile: string): EarDialect | undefined {
  if (profile === EAR_PROFILE) return 'draft-03'
  return profile === EAR_PROFILE_VERAISON || profile === EAR_PROFILE_TRUSTEE ? 'dotted' : undefined
}

/**
 * A status says no more than what it sums up. An entry of 0 makes no claim, so it refutes none; every other entry of
 * the vector binds the appraisal's status, and every appraisal the overall one.
 *
 * @throws ResultError RESULT_CONTRADICTION
 */
export function checkEar(ear: Pick<Ear, 'status' | 'submods'>): void {
  for (const [label, { status, vector }] of ear.submods) {
    for (const [claim, value] of Object.entries(vector ?? {})) {
      if (value === 0 || !isBetterTier(status, tierOfValue(value))) continue
      const problem = `${JSON.stringify(label)} is ${status}, and its ${claim} is ${value}, ${tierOfValue(value)}`
      throw new ResultError('RESULT_CONTRADICTION', problem)
    }
    if (ear.status !== undefined && isBetterTier(ear.status, status)) {
      const problem = `the whole is ${ear.status}, and ${JSON.stringify(label)} is ${status}`
      throw new ResultError('RESULT_CONTRADICTION', problem)
    }
  }
}

/**
 * What an appraisal is worth to somebody who needs these entries: a status alone is not enough, for a verifier can be
 * asked to leave entries out, and no claim is not a good one.
 *
 * @returns the worst of the status and of all entries; 'none' at best when a required one is absent or 0
 */
export function earTier(appraisal: EarAppraisal, required: readonly VectorClaim[]): Tier {
  const vector = appraisal.vector ?? {}
  const entries = Object.values(vector).filter((value) => value !== 0)
  const missing = required.filter((claim) => (vector[claim] ?? 0) === 0)
  return worstTier([appraisal.status, ...entries.map(tierOfValue), ...missing.map((): Tier => 'none')])
}
