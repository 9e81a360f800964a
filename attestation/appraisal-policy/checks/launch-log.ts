import type { Static } from '@sinclair/typebox'
import type { LaunchLogState } from '../../appraisal/index.ts'
import {
  type BankRegisters,
  banksOf,
  equalRegisters,
  fromBankValues,
  toBankValues,
  zeroRegisters,
} from '../../event-log/index.ts'
import { listed, satisfied, unsatisfied } from '../outcome.ts'
import type { Check } from '../policy.ts'
import type { RULE_KINDS } from '../schema-rules.ts'

/** What the proven records of the launch log must say. */
export function launchLogCheck(settings: Static<(typeof RULE_KINDS)['launchLog']>): Check {
  const { mode, verifierKeys, unticketed } = settings
  const starts = settings.startValues?.map((values) => fromBankValues(values))
  const keys = verifierKeys === undefined ? undefined : new Set(verifierKeys)
  const expected = [
    ...(mode === undefined ? [] : ['an agent that enforces']),
    ...(starts === undefined ? [] : ['a register that was zero or explained before the agent']),
    ...(keys === undefined ? [] : ['an agent that obeys no other verifiers']),
    ...(unticketed === undefined ? [] : ['no pod without a ticket']),
  ].join(', ')
  return {
    claim: 'configuration',
    needs: { logs: ['launch-log'] },
    check: ({ launchLog }) => {
      if (launchLog === undefined) return unsatisfied(expected, 'no launch log is proved')
      const { agent } = launchLog
      const bad: string[] = []
      if (mode !== undefined && agent.mode !== mode) bad.push(`the agent runs in mode ${agent.mode}`)
      if (starts !== undefined && !isExplained(launchLog, starts)) {
        bad.push(`the register held ${JSON.stringify(toBankValues(launchLog.start))} before the agent`)
      }
      const foreign = keys === undefined ? [] : agent.verifierKeys.filter((key) => !keys.has(key))
      if (foreign.length > 0) bad.push(`the agent also obeys ${listed(foreign)}`)
      if (keys !== undefined && agent.verifierKeys.length === 0) bad.push('the agent pins no verifier')
      const pods = [...launchLog.pods].filter(([, pod]) => pod.unticketed).map(([uuid]) => uuid)
      if (unticketed !== undefined && pods.length > 0) bad.push(`launched without a ticket: ${listed(pods)}`)
      return bad.length === 0 ? satisfied(expected, `mode ${agent.mode}`) : unsatisfied(expected, listed(bad))
    },
  }
}

/**
 * Every bank of the register must be explained by the same value given; one that names fewer banks explains only those.
 */
function isExplained({ start, resumed }: LaunchLogState, starts: readonly BankRegisters[]): boolean {
  return resumed || equalRegisters(start, zeroRegisters(banksOf(start))) || starts.some((s) => equalRegisters(s, start))
}
