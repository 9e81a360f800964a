import type { BootFacts, DigestTexts, Fact } from '../../appraisal/boot/index.ts'
import type { FindingEvent } from '../../appraisal/index.ts'
import type { PolicyFacts } from '../facts.ts'

import { type Outcome, unsatisfied } from '../outcome.ts'

/** A check of what the firmware log tells; without one it is not satisfied. */
export function ofBoot(
  expected: string,
  check: (boot: BootFacts, facts: PolicyFacts) => Outcome,
): (facts: PolicyFacts) => Outcome {
  return (facts) =>
    facts.boot.state === 'read' ? check(facts.boot.facts, facts) : unsatisfied(expected, 'no firmware log is proved')
}

/** The value of a fact whose every bit the quote proves; nothing else of a log may be believed. */
export function provedValue<T>(fact: Fact<T> | undefined): T | undefined {
  return fact?.proof === 'data' ? fact.value : undefined
}

/** Why a fact is not as good as it must be, for people. */
export function whyUnproved(fact: Fact<unknown>): string {
  const register = `PCR ${fact.register}`
  switch (fact.proof) {
    case 'digest':
      return 'only its digest is proved'
    case 'not-quoted':
      return `${register} is not in the quote`
    case 'not-extended':
      return 'no register speaks for it'
    case 'not-yet':
      return `the log is ahead of the quote in ${register}`
    case 'refuted':
      return `${register} does not replay, or the data is not what the digest says`
    case 'data':
      return 'it is proved'
  }
}

/** Digests of what was measured, in the banks that the quote proves for its register: others are only in the log. */
export function provedDigests(fact: Fact<{ readonly digests: DigestTexts }>, { registers }: PolicyFacts): string[] {
  if (fact.proof !== 'data' && fact.proof !== 'digest') return []
  return Object.entries(fact.value.digests)
    .filter(([bank]) => registers.some((r) => r.bank === bank && r.pcr === fact.register))
    .map(([, digest]) => digest)
}

export function eventOf({ source, event, register }: Fact<unknown>): FindingEvent {
  return { source, index: event, register: { kind: 'pcr', index: register } }
}
