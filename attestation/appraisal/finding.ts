/** Tiers of AR4SI, as EAR spells them. */
export type Tier = 'affirming' | 'warning' | 'contraindicated' | 'none'

/** Entries of the AR4SI trustworthiness vector that a rule can speak for. */
export type VectorClaim =
  | 'instance-identity'
  | 'configuration'
  | 'executables'
  | 'file-system'
  | 'hardware'
  | 'runtime-opaque'
  | 'storage-opaque'
  | 'sourced-data'

/** What one rule looked at and what it made of it. A rule that could not look says 'none', which is never as good as affirming. */
export interface Finding {
  /** Stable id, e.g. 'launch-log.replay'. */
  readonly rule: string
  readonly tier: Tier
  /** For the operator: what was seen, what was expected. Bounded. */
  readonly message: string
  readonly claim: VectorClaim
}

/** Worse is higher. 'none' stands above affirming: what could not be appraised is not trusted. */
const BADNESS: Readonly<Record<Tier, number>> = { affirming: 0, none: 1, warning: 2, contraindicated: 3 }

/** @returns the worst tier; 'none' when there is none at all, because missing never means trusted */
export function worstTier(tiers: Iterable<Tier>): Tier {
  let worst: Tier | undefined
  for (const tier of tiers) {
    if (worst === undefined || BADNESS[tier] > BADNESS[worst]) worst = tier
  }
  return worst ?? 'none'
}

const MAX_MESSAGE = 1024

/** A finding whose message fits every message and store. */
export function finding(rule: string, tier: Tier, claim: VectorClaim, message: string): Finding {
  return { rule, tier, claim, message: message.slice(0, MAX_MESSAGE).toWellFormed() }
}
