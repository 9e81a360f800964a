import type { Tier } from '../results/index.ts'
import type { Finding } from './finding.ts'

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

const GRAVITY: readonly Tier[] = ['contraindicated', 'warning', 'none']

/** What is not good, worst first; what policy only observes is last. */
export function worstFirst<F extends Pick<Finding, 'tier' | 'policy'>>(findings: readonly F[]): F[] {
  const gravity = (f: F): number => (isObserved(f) ? GRAVITY.length : GRAVITY.indexOf(f.tier))
  return findings.filter((f) => f.tier !== 'affirming').sort((a, b) => gravity(a) - gravity(b))
}

/** What speaks against a node, worst first. What policy only observes counts for nothing, so it is no reason. */
export function reasonsAgainst<F extends Pick<Finding, 'tier' | 'policy'>>(findings: readonly F[]): F[] {
  return worstFirst(findings).filter((f) => !isObserved(f))
}

function isObserved({ policy }: Pick<Finding, 'policy'>): boolean {
  return policy?.mode === 'observe'
}
