import { type VersionNumber, versionNumber } from '../version-number.ts'

/** Versions of one maker, both ends included. */
export interface VulnerableRange {
  readonly vendor: string
  readonly from: VersionNumber
  readonly to: VersionNumber
  readonly reason: string
}

const ROCA = 'CVE-2017-15361 (ROCA): its RSA keys can be factored'
const TPM_FAIL = 'CVE-2019-16863 (TPM-FAIL): its ECDSA keys leak by time'
const LIBRARY = 'CVE-2023-1017: a command writes out of bounds'

/**
 * TPM firmware that its makers call broken, as firmwareVersion counts it. Not a list of everything: firmware TPMs
 * (Intel's CVE-2019-11090, AMD's faulTPM) are counted with the platform's firmware, so a policy names its own ranges
 * for those. Sources: Infineon and Microsoft ADV170012 (last affected version of each line); STMicroelectronics, "ST's
 * TPM firmware update: ECDSA signature generation"; Nuvoton SA-003.
 */
export const KNOWN_VULNERABLE: readonly VulnerableRange[] = [
  ...ranges(
    'IFX',
    ROCA,
    ['4.0', '4.33'],
    ['4.40', '4.42'],
    ['5.0', '5.61'],
    ['6.0', '6.42'],
    ['7.0', '7.61'],
    ['133.0', '133.32'],
  ),
  ...each(
    'STM',
    TPM_FAIL,
    '71.0',
    '71.4',
    '71.12',
    '73.0',
    '73.4',
    '73.5',
    '73.8',
    '73.9',
    '74.0',
    '74.4',
    '74.5',
    '74.8',
    '74.9',
    '74.16',
  ),
  ...each('NTC', LIBRARY, '1.3.0.1', '1.3.1.0', '1.3.2.8'),
]

function ranges(vendor: string, reason: string, ...list: readonly (readonly [string, string])[]): VulnerableRange[] {
  return list.map(([from, to]) => ({ vendor, from: versionNumber(from), to: versionNumber(to), reason }))
}

function each(vendor: string, reason: string, ...versions: readonly string[]): VulnerableRange[] {
  return ranges(vendor, reason, ...versions.map((version) => [version, version] as const))
}
