import type { Static } from '@sinclair/typebox'
import type { BootFacts, DigestTexts, Fact } from '../../appraisal/boot/index.ts'
import type { PolicyFacts } from '../facts.ts'
import { type Outcome, satisfied, unsatisfied } from '../outcome.ts'
import type { Check } from '../policy.ts'
import type { RULE_KINDS } from '../schema-rules.ts'
import { eventOf, ofBoot, provedDigests, whyUnproved } from './boot-facts.ts'
import { type ReferenceDigests, referenceDigests, referencesText } from './reference-digests.ts'

const APPLICATIONS_PCR = 4
const INITRD_PCR = 9

/**
 * Every image that was started before the kernel must be known, and there must be one. Those that firmware started
 * before the separator count too: whoever can have firmware start something has no need of a boot loader.
 */
export function bootLoaderCheck(settings: Static<(typeof RULE_KINDS)['bootLoader']>): Check {
  const known = referenceDigests(settings.digests)
  const expected = `boot loaders of ${referencesText(known)}`
  const none = 'no boot loader is measured: a kernel alone, or one that was started past the firmware'
  const check = (boot: BootFacts, facts: PolicyFacts) =>
    allKnown(boot.applications.slice(0, -1), known, facts, expected, none)
  return {
    claim: 'executables',
    needs: { logs: ['firmware'], pcrs: [APPLICATIONS_PCR] },
    ofBoot: true,
    check: ofBoot(expected, check),
  }
}

/** The last image that was started, a kernel or a unified kernel image, must be known. */
export function kernelCheck(settings: Static<(typeof RULE_KINDS)['kernel']>): Check {
  const known = referenceDigests(settings.digests)
  const expected = `a kernel of ${referencesText(known)}`
  const none = 'no kernel is measured: it was started past the firmware'
  const check = (boot: BootFacts, facts: PolicyFacts) =>
    allKnown(boot.applications.slice(-1), known, facts, expected, none)
  return {
    claim: 'executables',
    needs: { logs: ['firmware'], pcrs: [APPLICATIONS_PCR] },
    ofBoot: true,
    check: ofBoot(expected, check),
  }
}

/** Every initrd that the kernel or its stub measured must be known, and there must be one. */
export function initrdCheck(settings: Static<(typeof RULE_KINDS)['initrd']>): Check {
  const known = referenceDigests(settings.digests)
  const expected = `initrds of ${referencesText(known)}`
  const check = (boot: BootFacts, facts: PolicyFacts) =>
    allKnown(boot.initrds, known, facts, expected, 'no initrd is measured')
  return {
    claim: 'executables',
    needs: { logs: ['firmware'], pcrs: [INITRD_PCR] },
    ofBoot: true,
    check: ofBoot(expected, check),
  }
}

function allKnown(
  files: readonly Fact<{ readonly digests: DigestTexts }>[],
  known: ReferenceDigests,
  facts: PolicyFacts,
  expected: string,
  none: string,
): Outcome {
  if (files.length === 0) return unsatisfied(expected, none)
  const names: string[] = []
  for (const fact of files) {
    const digests = provedDigests(fact, facts)
    if (digests.length === 0) return unsatisfied(expected, whyUnproved(fact), eventOf(fact))
    const match = digests.find((digest) => known.has(digest))
    if (match === undefined) return unsatisfied(expected, `an unknown one, ${digests.join(', ')}`, eventOf(fact))
    names.push(known.get(match) ?? match)
  }
  return satisfied(expected, names.join(', '))
}
