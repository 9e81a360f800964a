import type { LogSource, Register } from '../event-log/index.ts'
import { type Tier, tierOfValue, type VectorClaim } from '../results/index.ts'

/** An event that a finding is about, as a timeline numbers it. */
export interface FindingEvent {
  readonly source: LogSource
  /** Position in its own log, from 0. */
  readonly index: number
  readonly register: Register
}

/** What a rule can say beside its message; each is absent where it does not apply. All texts are bounded. */
export interface FindingDetails {
  /**
   * AR4SI value of the vector entry, of the finding's tier (tables AR4SI and AR4SI_ANY); without it the tier's plain
   * value.
   */
  readonly value?: number
  /** What the reference values or the rule ask for. */
  readonly expected?: string
  /** What the evidence says instead. */
  readonly seen?: string
  readonly event?: FindingEvent
  /** What is other than at the last good boot. */
  readonly changed?: string
  /** Rule of the appraisal policy that spoke, and how strictly it applies. */
  readonly policy?: { readonly rule: string; readonly mode: 'observe' | 'warn' | 'enforce' }
}

/**
 * What one rule looked at and what it made of it. A rule that could not look says 'none', which is never as good as
 * affirming.
 */
export interface Finding extends FindingDetails {
  /** Stable id, e.g. 'launch-log.replay'. */
  readonly rule: string
  readonly tier: Tier
  /** For the operator: what was seen, what was expected. Bounded. */
  readonly message: string
  readonly claim: VectorClaim
}

const MAX_MESSAGE = 1024
const MAX_DETAIL = 512

/**
 * A finding whose texts fit every message and store.
 * @throws RangeError for a value that is not of the tier
 */
export function finding(
  rule: string,
  tier: Tier,
  claim: VectorClaim,
  message: string,
  details: FindingDetails = {},
): Finding {
  const { value, expected, seen, event, changed, policy } = details
  if (value !== undefined && tierOfValue(value) !== tier) {
    throw new RangeError(`AR4SI value ${value} is ${tierOfValue(value)}, the finding ${tier}`)
  }
  return {
    rule,
    tier,
    claim,
    message: bounded(message, MAX_MESSAGE),
    ...(value !== undefined && { value }),
    ...(expected !== undefined && { expected: bounded(expected, MAX_DETAIL) }),
    ...(seen !== undefined && { seen: bounded(seen, MAX_DETAIL) }),
    ...(event !== undefined && { event }),
    ...(changed !== undefined && { changed: bounded(changed, MAX_DETAIL) }),
    ...(policy !== undefined && { policy }),
  }
}

function bounded(text: string, max: number): string {
  return text.slice(0, max).toWellFormed()
}
