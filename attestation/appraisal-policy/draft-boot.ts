import type { DigestTexts, Fact, KeyList } from '../appraisal/boot/index.ts'
import { toHex } from '../base/index.ts'
import type { ReferenceImage } from '../reference-values/index.ts'
import { makerOf } from './checks/tpm-firmware.ts'
import { comment, listBlock, quoted, ruleLines, type ValueSource, valueSources } from './draft-text.ts'
import type { Booted, DraftMachine } from './draft-types.ts'
import { globLiteral } from './glob.ts'
import type { Mode } from './policy.ts'
import { compareVersions, tpmVersion, type VersionNumber, versionText } from './version-number.ts'

/** Of the firmware only, and never more than observed: such values change with each update. */
export function registerRule(machines: readonly DraftMachine[]): string[] {
  const lines: string[] = []
  for (const pcr of [0, 2]) {
    const sources = valueSources(
      machines.flatMap(({ from, registers }) =>
        registers.filter((r) => r.bank === 'sha256' && r.pcr === pcr).map((r) => ({ value: toHex(r.value), from })),
      ),
    )
    if (sources.length > 0) lines.push(`    ${pcr}:`, ...listBlock(sources, 6))
  }
  if (lines.length === 0) return []
  return ruleLines('firmware-registers', 'observe', 'Registers of the firmware; they change with each update of it.', [
    'pcrs:',
    '  sha256:',
    ...lines,
  ])
}

export function secureBootRule(boots: readonly Booted[], mode: Mode): string[] {
  const state = boots[0]?.boot.secureBoot.state
  if (state === undefined || boots.some(({ boot }) => boot.secureBoot.state !== state)) return []
  if (boots.some(({ boot }) => boot.secureBoot.variable?.proof !== 'data')) return []
  if (state !== 'enabled') {
    return state === 'unknown'
      ? []
      : ruleLines('secure-boot', 'observe', 'Secure Boot is disabled on every machine.', [
          'secureBoot: {enabled: false}',
        ])
  }
  const authorities = valueSources(
    boots.flatMap(({ from, boot }) =>
      boot.secureBoot.authorities
        .filter((a) => a.proof === 'data')
        .map(({ value }) => ({ value: value.id, from: `${value.subject ?? value.list}, ${from}` })),
    ),
  )
  const counts = boots.map(({ boot }) => provedCount(boot.secureBoot.dbx))
  const least = Math.min(...counts)
  return ruleLines('secure-boot', mode, 'Secure Boot, and the keys that allowed what was booted.', [
    'secureBoot:',
    '  enabled: true',
    ...(authorities.length === 0 ? [] : ['  authorities:', '    allowed:', ...listBlock(authorities, 6)]),
    ...(least > 0 ? [`  dbx: {minimumEntries: ${least}}`] : []),
  ])
}

function provedCount(list: Fact<KeyList> | undefined): number {
  return list?.proof === 'data' ? list.value.count : 0
}

/** An image that is not measured on every machine gives no rule of machines; one that somebody names does. */
export function imageRules(boots: readonly Booted[], images: readonly ReferenceImage[], mode: Mode): string[] {
  const of = (
    name: string,
    kind: string,
    description: string,
    pick: (boot: Booted['boot']) => readonly Fact<{ digests: DigestTexts }>[],
    named: readonly ValueSource[],
  ): string[] => {
    const everywhere = boots.length > 0 && boots.every(({ boot }) => pick(boot).length > 0)
    if (!everywhere && named.length === 0) return []
    const sources = valueSources([
      ...boots.flatMap((b) => pick(b.boot).flatMap((fact) => digestSources(fact, b))),
      ...named,
    ])
    return sources.length === 0
      ? []
      : ruleLines(name, mode, description, [`${kind}:`, '  digests:', ...listBlock(sources, 4)])
  }
  const { loaders, kernels } = namedImages(images)
  return [
    ...of(
      'boot-loader',
      'bootLoader',
      'What was started before the kernel.',
      (boot) => boot.applications.slice(0, -1),
      loaders,
    ),
    ...of('kernel', 'kernel', 'The last image that was started.', (boot) => boot.applications.slice(-1), kernels),
    ...of('initrd', 'initrd', 'Initial file systems.', (boot) => boot.initrds, []),
  ]
}

/**
 * A unified kernel image is the last that firmware starts, or, with stubs that have firmware start the kernel in it,
 * the one before. That is no reason for a rule about boot loaders where nobody names one.
 */
function namedImages(images: readonly ReferenceImage[]): { loaders: ValueSource[]; kernels: ValueSource[] } {
  const of = (kind: ReferenceImage['kind']): ValueSource[] =>
    images.filter((image) => image.kind === kind).map(({ digest, from }) => ({ value: digest, from }))
  const [loaders, kernels, unified] = [of('boot-loader'), of('kernel'), of('unified-kernel')]
  const inner = images.flatMap(({ kernel, from }) =>
    kernel === undefined ? [] : [{ value: kernel, from: `the kernel in ${from}` }],
  )
  return { loaders: loaders.length === 0 ? [] : [...loaders, ...unified], kernels: [...kernels, ...unified, ...inner] }
}

/** Digests in the banks that the quote proves, strongest of them only. */
export function digestSources(
  fact: Fact<{ readonly digests: DigestTexts; readonly file?: string; readonly name?: string }>,
  { from, registers }: Booted,
): ValueSource[] {
  if (fact.proof !== 'data' && fact.proof !== 'digest') return []
  const bank = ['sha512', 'sha384', 'sha256'].find(
    (b) => fact.value.digests[b] !== undefined && registers.some((r) => r.bank === b && r.pcr === fact.register),
  )
  const value = bank === undefined ? undefined : fact.value.digests[bank]
  const what = fact.value.file ?? fact.value.name
  return value === undefined
    ? []
    : [{ value, from: `${what === undefined ? '' : `${what}, `}event ${fact.event} of ${from}` }]
}

export function firmwareRule(boots: readonly Booted[], mode: Mode): string[] {
  const versions = boots.map(({ boot, from }) => ({
    value: boot.crtmVersion?.proof === 'data' ? boot.crtmVersion.value : '',
    from,
  }))
  if (versions.length === 0 || versions.some(({ value }) => value === '')) return []
  const sources = valueSources(versions)
  return ruleLines(
    'platform-firmware',
    mode,
    'Versions that firmware measured. Write * for what may differ, and a minimum.',
    [
      'platformFirmware:',
      '  versions:',
      ...sources.map(({ value, from }) => `    - match: ${quoted(globLiteral(value))} # ${comment(from)}`),
    ],
  )
}

export function tpmRule(machines: readonly DraftMachine[], mode: Mode): string[] {
  const least = new Map<string, VersionNumber>()
  for (const { tpm } of machines) {
    const maker = makerOf(tpm.manufacturer)
    if (maker === undefined || !/^[A-Z0-9]{2,4}$/.test(maker)) return []
    const version = tpmVersion(tpm.firmwareVersion)
    const known = least.get(maker)
    if (known === undefined || compareVersions(version, known) < 0) least.set(maker, version)
  }
  if (least.size === 0) return []
  return ruleLines('tpm-firmware', mode, 'Makers of TPMs, and the oldest firmware seen of each.', [
    'tpmFirmware:',
    '  vendors:',
    ...[...least].map(([id, version]) => `    ${id}: {minimum: ${quoted(versionText(version))}}`),
    '  knownVulnerable: refuse',
  ])
}
