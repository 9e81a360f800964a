import type { FindingEvent } from '../appraisal/index.ts'

/** What a rule made of the facts: for people, in few words. */
export interface Outcome {
  readonly satisfied: boolean
  /** Not satisfied, but the rule's own settings say that this is no more than a warning. */
  readonly tolerated?: true
  readonly expected: string
  readonly seen: string
  readonly event?: FindingEvent
}

/**
 * What the rules of one policy made of a boot, to be kept while the boot lasts: the logs of a boot are sent once. Plain
 * data for JSON.
 */
export interface KeptOutcomes {
  /** Of the policy. */
  readonly revision: string
  /** By rule. */
  readonly outcomes: { readonly [rule: string]: Outcome }
}

export function satisfied(expected: string, seen: string): Outcome {
  return { satisfied: true, expected, seen }
}

export function unsatisfied(expected: string, seen: string, event?: FindingEvent): Outcome {
  return { satisfied: false, expected, seen, ...(event !== undefined && { event }) }
}

export function tolerated(expected: string, seen: string, event?: FindingEvent): Outcome {
  return { ...unsatisfied(expected, seen, event), tolerated: true }
}

/** The first of a list, and how many more there are. */
export function listed(items: readonly string[], most = 4): string {
  const rest = items.length - most
  return rest > 0 ? `${items.slice(0, most).join(', ')} and ${rest} more` : items.join(', ')
}
