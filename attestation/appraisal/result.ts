import {
  TIER_VALUE,
  type Tier,
  type TrustworthinessVector,
  tierOfValue,
  type VectorClaim,
  worstTier,
} from '../results/index.ts'
import type { Finding } from './finding.ts'

/** What all rules together make of a node. */
export interface AppraisalResult {
  readonly tier: Tier
  readonly findings: readonly Finding[]
  readonly vector: TrustworthinessVector
}

/** Entries that must have been spoken for before a node can be affirming; one that is missing counts as 'none'. */
export const REQUIRED_CLAIMS: readonly VectorClaim[] = ['instance-identity', 'hardware', 'executables', 'configuration']

/**
 * The overall tier is the worst of all findings, and never better than the worst entry of the vector. A required entry
 * that no rule spoke for is in the vector as 0 and makes the result 'none' at best. Among findings of an entry's worst
 * tier the one with the value farthest from 0 names it: the larger numbers of a tier are the more precise and the
 * graver. What a policy only observes is told, and counts for nothing: it neither lowers an entry nor speaks for one.
 */
export function appraisalResult(findings: readonly Finding[]): AppraisalResult {
  const values = new Map<VectorClaim, number>()
  for (const { claim, tier, value = TIER_VALUE[tier], policy } of findings) {
    if (policy?.mode === 'observe') continue
    const old = values.get(claim)
    values.set(claim, old === undefined ? value : graver(old, value))
  }
  const vector: { [claim in VectorClaim]?: number } = {}
  for (const claim of REQUIRED_CLAIMS) vector[claim] = TIER_VALUE.none
  for (const [claim, value] of values) vector[claim] = value
  return { tier: worstTier(Object.values(vector).map(tierOfValue)), findings, vector }
}

function graver(a: number, b: number): number {
  const [x, y] = [tierOfValue(a), tierOfValue(b)]
  if (x === y) return Math.abs(b) > Math.abs(a) ? b : a
  return worstTier([x, y]) === x ? a : b
}
