import type { Tier } from '../results/index.ts'

/**
 * How a node stands, in one word, for people and for what acts on it.
 *
 * - `trusted`, `warning`, `failed`: the last evidence was affirming, warning or contraindicated.
 * - `stale`: there was a verdict, and then silence for longer than policy allows.
 * - `pending`: it waits to be admitted, or nothing that it sent could be judged to the end yet.
 * - `quarantined`: nothing of it is believed until an operator acts; also a node that an operator refused.
 */
export type Standing = 'trusted' | 'warning' | 'failed' | 'stale' | 'pending' | 'quarantined'
export const STANDINGS: readonly Standing[] = ['trusted', 'warning', 'failed', 'stale', 'pending', 'quarantined']

const OF_TIER: Readonly<Record<Tier, Standing>> = {
  affirming: 'trusted',
  warning: 'warning',
  contraindicated: 'failed',
  none: 'pending',
}

/** A stored tier; anything else counts as none. */
export function tierFromText(text: string): Tier {
  return text === 'affirming' || text === 'warning' || text === 'contraindicated' ? text : 'none'
}

/** The standing that follows from what is known of a node; what is worst, or least known, speaks first. */
export function standingOf(node: {
  readonly admission: 'pending' | 'admitted' | 'refused'
  readonly quarantined: boolean
  readonly silent: boolean
  readonly tier: Tier
}): Standing {
  if (node.quarantined || node.admission === 'refused') return 'quarantined'
  if (node.admission === 'pending') return 'pending'
  if (node.tier === 'contraindicated') return 'failed'
  return node.silent ? 'stale' : OF_TIER[node.tier]
}
