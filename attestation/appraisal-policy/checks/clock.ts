import type { Static } from '@sinclair/typebox'
import { satisfied, unsatisfied } from '../outcome.ts'
import type { Check } from '../policy.ts'
import type { RULE_KINDS } from '../schema-rules.ts'

/** Quotes follow within seconds; over so short a time a percentage says nothing. */
const MIN_COMPARED_MS = 10_000

/**
 * What a TPM's clock must look like. A clock that runs much slower than time was suspended or put back, or belongs to a
 * copy of a virtual TPM; the specification allows an error of the oscillator, so the tolerance should be wide.
 */
export function clockCheck(settings: Static<(typeof RULE_KINDS)['clock']>): Check {
  const { safe, maxDriftPercent } = settings
  const expected = [
    ...(safe === undefined ? [] : ['a clock that was stopped in order']),
    ...(maxDriftPercent === undefined ? [] : [`at most ${maxDriftPercent} % off the verifier's time`]),
  ].join(', ')
  return {
    claim: 'instance-identity',
    needs: {},
    check: ({ clock }) => {
      if (safe !== undefined && !clock.safe) return unsatisfied(expected, 'the TPM lost power without TPM2_Shutdown')
      if (maxDriftPercent === undefined || clock.sinceLast === undefined) {
        return satisfied(expected, maxDriftPercent === undefined ? 'safe' : 'the first quote of this TPM start')
      }
      const { tpmMs, wallMs } = clock.sinceLast
      const seen = `${tpmMs} ms by the TPM in ${wallMs} ms`
      const off = Math.abs(tpmMs - wallMs)
      if (Math.max(tpmMs, wallMs) < MIN_COMPARED_MS) return satisfied(expected, `${seen}, too short to compare`)
      // written so that a value which is no number is not within anything
      return off * 100 <= maxDriftPercent * wallMs ? satisfied(expected, seen) : unsatisfied(expected, seen)
    },
  }
}
