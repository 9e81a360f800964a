import type { Static } from '@sinclair/typebox'
import { fromHex } from '../../base/index.ts'
import { satisfied, unsatisfied } from '../outcome.ts'
import type { Check } from '../policy.ts'
import type { RULE_KINDS } from '../schema-rules.ts'
import { compareVersions, tpmVersion, type VersionNumber, versionNumber, versionText } from '../version-number.ts'
import { KNOWN_VULNERABLE, type VulnerableRange } from './known-vulnerable.ts'

/**
 * Which TPMs are good enough: makers, least versions, versions known to be broken. The maker is the EK certificate's
 * word.
 */
export function tpmFirmwareCheck(settings: Static<(typeof RULE_KINDS)['tpmFirmware']>): Check {
  const { vendors, otherVendors = vendors === undefined ? 'allow' : 'refuse', knownVulnerable = 'refuse' } = settings
  const minimums = new Map(
    Object.entries(vendors ?? {}).map(([id, { minimum }]) => [
      id,
      minimum === undefined ? undefined : versionNumber(minimum),
    ]),
  )
  const denied: VulnerableRange[] = [
    ...(settings.denied ?? []).map(({ vendor, from, to, reason }) => ({
      vendor,
      from: versionNumber(from),
      to: versionNumber(to),
      reason,
    })),
    ...(knownVulnerable === 'refuse' ? KNOWN_VULNERABLE : []),
  ]
  const expected = [
    ...(minimums.size === 0 ? [] : [[...minimums].map(([id, least]) => `${id}${leastText(least)}`).join(' or ')]),
    ...(denied.length === 0 ? [] : [`none of ${denied.length} ranges of broken versions`]),
  ].join(', ')
  return {
    claim: 'hardware',
    needs: {},
    check: ({ tpm }) => {
      const version = tpmVersion(tpm.firmwareVersion)
      const manufacturer = makerOf(tpm.manufacturer)
      if (manufacturer === undefined) return unsatisfied(expected, 'no EK certificate says who made the TPM')
      const seen = `${manufacturer} ${versionText(version)}`
      if (!minimums.has(manufacturer) && otherVendors === 'refuse')
        return unsatisfied(expected, `${seen}, another maker`)
      const least = minimums.get(manufacturer)
      if (least !== undefined && compareVersions(version, least) < 0) return unsatisfied(expected, `${seen}, older`)
      const broken = denied.find((range) => range.vendor === manufacturer && isWithin(version, range))
      return broken === undefined ? satisfied(expected, seen) : unsatisfied(expected, `${seen}: ${broken.reason}`)
    },
  }
}

/** `IFX`, also where it is given as certificates have it: `id:49465800`, ASCII with zeros or blanks behind. */
export function makerOf(manufacturer: string | undefined): string | undefined {
  const [, hex] = /^id:([0-9a-fA-F]{8})$/.exec(manufacturer ?? '') ?? []
  if (hex === undefined) return manufacturer
  return String.fromCharCode(...fromHex(hex)).replace(/[\0 ]+$/, '')
}

function leastText(least: VersionNumber | undefined): string {
  return least === undefined ? '' : ` from ${versionText(least)}`
}

/** `to` is included, with everything below it: 7.61 ends behind 7.61.65535. */
function isWithin(version: VersionNumber, { from, to }: VulnerableRange): boolean {
  return compareVersions(version, from) >= 0 && compareVersions(version.slice(0, to.length), to) <= 0
}
