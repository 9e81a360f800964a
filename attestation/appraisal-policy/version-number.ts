/** Numbers of a version, most significant first. Missing ones count as 0. */
export type VersionNumber = readonly number[]

/** @param text numbers with dots between, as the schema has checked */
export function versionNumber(text: string): VersionNumber {
  return text.split('.').map(Number)
}

/** Below, at or above 0, as `a` is older than, the same as, or newer than `b`. */
export function compareVersions(a: VersionNumber, b: VersionNumber): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

export function versionText(version: VersionNumber): string {
  return version.join('.')
}

/**
 * firmwareVersion of a TPM as makers print it: four numbers of 16 bits. Its meaning is the maker's own, so versions of
 * one maker only are compared, and only because the policy says how that maker counts.
 */
export function tpmVersion(firmwareVersion: bigint): VersionNumber {
  return [48n, 32n, 16n, 0n].map((shift) => Number((firmwareVersion >> shift) & 0xffffn))
}

/**
 * The first run of numbers with dots in a text: `N2IET75W (1.53 )` has none before `2`, so makers' schemes differ; what
 * it finds is compared number by number.
 *
 * @returns undefined where the text has no number
 */
export function versionIn(text: string): VersionNumber | undefined {
  const match = /\d{1,9}(\.\d{1,9}){0,7}/.exec(text)
  return match === null ? undefined : versionNumber(match[0])
}
