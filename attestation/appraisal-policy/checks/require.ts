import type { Static } from '@sinclair/typebox'
import type { Finding } from '../../appraisal/index.ts'
import { listed, type Outcome, satisfied, unsatisfied } from '../outcome.ts'
import type { Check, Needs } from '../policy.ts'
import type { RULE_KINDS } from '../schema-rules.ts'

/** Appraisal rules that must have found nothing wrong. One of which nothing was found at all is not satisfied. */
export function requireCheck(ids: Static<(typeof RULE_KINDS)['require']>): Check {
  const expected = `${listed(ids)} affirming`
  return {
    claim: 'executables',
    needs: needsOf(ids),
    check: ({ findings }) => {
      const bad: Finding[] = []
      const missing: string[] = []
      for (const id of ids) {
        let found = false
        for (const finding of findings) {
          if (!isOfRule(finding.rule, id)) continue
          found = true
          if (finding.tier !== 'affirming') bad.push(finding)
        }
        if (!found) missing.push(id)
      }
      return outcome(expected, findings, ids, missing, bad)
    },
  }
}

function outcome(
  expected: string,
  findings: readonly Finding[],
  ids: readonly string[],
  missing: readonly string[],
  bad: readonly Finding[],
): Outcome {
  if (missing.length === 0 && bad.length === 0) {
    const count = findings.filter(({ rule }) => ids.some((id) => isOfRule(rule, id))).length
    return satisfied(expected, `${count} findings, all affirming`)
  }
  const seen = [
    ...bad.map(({ rule, tier, message }) => `${rule} is ${tier}: ${message}`),
    ...missing.map((id) => `${id} was not appraised`),
  ]
  return unsatisfied(expected, seen.join('; '), bad[0]?.event)
}

/** Whether a finding's rule is what an id of a policy means: `boot.*` means every rule of the boot. */
export function isOfRule(rule: string, id: string): boolean {
  return id.endsWith('.*') ? rule.startsWith(id.slice(0, -1)) : rule === id
}

function needsOf(ids: readonly string[]): Needs {
  const about = (prefix: string): boolean => ids.some((id) => id.startsWith(prefix))
  return {
    logs: [
      ...(about('boot.') ? (['firmware'] as const) : []),
      ...(about('systemd.') ? (['systemd'] as const) : []),
      ...(about('ima.') ? (['ima'] as const) : []),
      ...(about('launch-log.') ? (['launch-log'] as const) : []),
    ],
    pcrs: [...(about('boot.') ? FIRMWARE_PCRS : []), ...(about('ima.') ? [10] : [])],
  }
}
const FIRMWARE_PCRS = [0, 1, 2, 3, 4, 5, 6, 7]
