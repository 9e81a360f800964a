import type { Static } from '@sinclair/typebox'
import type { BootFacts } from '../../appraisal/boot/index.ts'
import { glob, literalStart } from '../glob.ts'
import { listed, type Outcome, satisfied, unsatisfied } from '../outcome.ts'
import type { Check } from '../policy.ts'
import type { RULE_KINDS } from '../schema-rules.ts'
import { compareVersions, versionIn, versionNumber } from '../version-number.ts'
import { eventOf, ofBoot, provedValue, whyUnproved } from './boot-facts.ts'

const CRTM_PCR = 0

/**
 * Which versions of platform firmware are good enough, by what EV_S_CRTM_VERSION says. Of a minimum the number is
 * compared that stands behind the literal beginning of the pattern: with `N2IET*` that of N2IET75W is 75.
 */
export function platformFirmwareCheck(settings: Static<(typeof RULE_KINDS)['platformFirmware']>): Check {
  const versions = settings.versions.map(({ match, minimum }) => ({
    pattern: glob(match),
    start: literalStart(match).length,
    minimum: minimum === undefined ? undefined : versionNumber(minimum),
  }))
  const expected = listed(
    settings.versions.map(({ match, minimum }) => `${match}${minimum === undefined ? '' : ` from ${minimum}`}`),
  )
  const check = ({ crtmVersion }: BootFacts): Outcome => {
    if (crtmVersion === undefined) return unsatisfied(expected, 'firmware measured no version')
    const text = provedValue(crtmVersion)
    if (text === undefined) return unsatisfied(expected, whyUnproved(crtmVersion), eventOf(crtmVersion))
    const seen = `'${text}'`
    const like = versions.filter(({ pattern }) => pattern.matches(text))
    if (like.length === 0) return unsatisfied(expected, seen, eventOf(crtmVersion))
    const good = like.some(({ start, minimum }) => {
      if (minimum === undefined) return true
      const version = versionIn(text.slice(start))
      return version !== undefined && compareVersions(version, minimum) >= 0
    })
    return good ? satisfied(expected, seen) : unsatisfied(expected, `${seen}, older`, eventOf(crtmVersion))
  }
  return {
    claim: 'hardware',
    needs: { logs: ['firmware'], pcrs: [CRTM_PCR] },
    ofBoot: true,
    check: ofBoot(expected, check),
  }
}
