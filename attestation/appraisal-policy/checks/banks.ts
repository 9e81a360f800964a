import type { Static } from '@sinclair/typebox'
import { listed, satisfied, unsatisfied } from '../outcome.ts'
import type { Check } from '../policy.ts'
import type { RULE_KINDS } from '../schema-rules.ts'

/** A PCR that firmware always extends when it uses a bank at all. */
const FIRST_MEASUREMENT = 0

/**
 * Which banks the machine may have. Firmware measures into banks that it knows; one that it left alone can be filled by
 * anybody to look like another machine.
 */
export function banksCheck(settings: Static<(typeof RULE_KINDS)['banks']>): Check {
  const { required = [], unused, sha1 } = settings
  const expected = [
    ...required.map((bank) => `a ${bank} bank`),
    ...(unused === undefined ? [] : ['no bank that firmware does not use']),
    ...(sha1 === undefined ? [] : ['no sha1 bank']),
  ].join(', ')
  return {
    claim: 'executables',
    needs: unused === undefined ? {} : { everyBank: [FIRST_MEASUREMENT] },
    check: ({ registers }) => {
      const banks = [...new Set(registers.map((r) => r.bank))]
      const bad: string[] = []
      for (const bank of required) if (!banks.includes(bank)) bad.push(`no ${bank} bank is quoted`)
      if (sha1 !== undefined && banks.includes('sha1')) bad.push('a sha1 bank is allocated')
      if (unused !== undefined) {
        for (const bank of banks) {
          const first = registers.find((r) => r.bank === bank && r.pcr === FIRST_MEASUREMENT)
          if (first === undefined) bad.push(`PCR ${FIRST_MEASUREMENT} of ${bank} is not in the quote`)
          else if (first.value.every((byte) => byte === 0)) bad.push(`firmware measured nothing into bank ${bank}`)
        }
      }
      if (banks.length === 0) bad.push('no bank is quoted')
      const seen = `banks ${banks.join(', ')}`
      return bad.length === 0 ? satisfied(expected, seen) : unsatisfied(expected, listed(bad))
    },
  }
}
