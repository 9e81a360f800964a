import type { Static } from '@sinclair/typebox'
import { toHex } from '../../base/index.ts'
import type { HashAlgorithm } from '../../crypto/index.ts'
import { listed, satisfied, unsatisfied } from '../outcome.ts'
import type { Check } from '../policy.ts'
import type { RULE_KINDS } from '../schema-rules.ts'

interface Register {
  readonly bank: HashAlgorithm
  readonly pcr: number
  readonly values: ReadonlySet<string>
}

/** Registers that must have one of the values given; one that is not in the quote has none. */
export function pcrsCheck(settings: Static<(typeof RULE_KINDS)['pcrs']>): Check {
  const registers: Register[] = []
  const banks: { [bank in HashAlgorithm]?: number[] } = {}
  for (const bank of ['sha256', 'sha384', 'sha512'] as const) {
    for (const [pcr, values] of Object.entries(settings[bank] ?? {})) {
      registers.push({ bank, pcr: Number(pcr), values: new Set(values) })
      banks[bank] = [...(banks[bank] ?? []), Number(pcr)]
    }
  }
  const expected = listed(registers.map(registerExpected))
  return {
    claim: 'executables',
    needs: { banks },
    check: (facts) => {
      const bad: string[] = []
      for (const { bank, pcr, values } of registers) {
        const value = facts.registers.find((r) => r.bank === bank && r.pcr === pcr)?.value
        if (value === undefined) bad.push(`PCR ${pcr} of ${bank} is not in the quote`)
        else if (!values.has(toHex(value))) bad.push(`PCR ${pcr} of ${bank} is ${toHex(value)}`)
      }
      return bad.length === 0
        ? satisfied(expected, `${registers.length} registers as expected`)
        : unsatisfied(expected, listed(bad))
    },
  }
}

function registerExpected({ bank, pcr, values }: Register): string {
  const [first = '', ...others] = values
  return `PCR ${pcr} of ${bank} ${first}${others.length === 0 ? '' : ` or ${others.length} others`}`
}
