import { type Finding, type Tier, type VectorClaim, worstTier } from './finding.ts'

/** AR4SI values, by vector entry. 2 affirming, 0 no claim, 32 warning, 96 contraindicated. */
export type TrustworthinessVector = { readonly [claim in VectorClaim]?: number }

/** What all rules together make of a node. */
export interface AppraisalResult {
  readonly tier: Tier
  readonly findings: readonly Finding[]
  readonly vector: TrustworthinessVector
}

const VECTOR_VALUE: Readonly<Record<Tier, number>> = { affirming: 2, none: 0, warning: 32, contraindicated: 96 }

/** Entries that must have been spoken for before a node can be affirming; one that is missing counts as 'none'. */
export const REQUIRED_CLAIMS: readonly VectorClaim[] = ['instance-identity', 'hardware', 'executables', 'configuration']

/**
 * The overall tier is the worst of all findings, and never better than the worst entry of the vector. A required entry that no
 * rule spoke for is in the vector as 0 and makes the result 'none' at best.
 */
export function appraisalResult(findings: readonly Finding[]): AppraisalResult {
  const tiers = new Map<VectorClaim, Tier>(REQUIRED_CLAIMS.map((claim) => [claim, 'none']))
  const spoken = new Set<VectorClaim>()
  for (const { claim, tier } of findings) {
    tiers.set(claim, spoken.has(claim) ? worstTier([tiers.get(claim) ?? 'none', tier]) : tier)
    spoken.add(claim)
  }
  const vector: { [claim in VectorClaim]?: number } = {}
  for (const [claim, tier] of tiers) vector[claim] = VECTOR_VALUE[tier]
  return { tier: worstTier(tiers.values()), findings, vector }
}
