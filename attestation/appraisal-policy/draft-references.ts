import type { ReferenceImage, ReferenceSection } from '../reference-values/index.ts'
import { listBlock, quoted, ruleLines, type ValueSource, valueSources } from './draft-text.ts'
import type { DraftReferences } from './draft-types.ts'
import type { Mode } from './policy.ts'

/** systemd-stub measures sections here, and systemd the phases of the boot. */
const UKI_PCR = 11
/** As many values of a register, and as many events, as a policy can have. */
const MAX_VALUES = 1024

/** Rules that reference values alone give. What machines give as well is merged in the rules of the boot. */
export function referenceRules({ images, registers }: DraftReferences, mode: Mode): string[] {
  return [...registersRule(registers, mode), ...unifiedKernelRule(images, mode), ...unifiedKernelRegister(images)]
}

function registersRule(registers: DraftReferences['registers'], mode: Mode): string[] {
  const banks = (['sha256', 'sha384', 'sha512'] as const).flatMap((bank) => {
    const ofBank = registers.filter((r) => r.bank === bank)
    const pcrs = [...new Set(ofBank.map((r) => r.pcr))].sort((a, b) => a - b)
    const lines = pcrs.flatMap((pcr) => [
      `    ${pcr}:`,
      ...listBlock(valueSources(ofBank.filter((r) => r.pcr === pcr)).slice(0, MAX_VALUES), 6),
    ])
    return lines.length === 0 ? [] : [`  ${bank}:`, ...lines]
  })
  const why = 'Registers as reference values have them; they change with each update of what is measured there.'
  return banks.length === 0 ? [] : ruleLines('reference-registers', mode, why, ['pcrs:', ...banks])
}

interface NamedSource extends ValueSource {
  readonly name: string
}

/**
 * Sections of unified kernel images as systemd-stub measures them: nothing else may be measured there, and what every
 * image and profile has must be.
 */
function unifiedKernelRule(images: readonly ReferenceImage[], mode: Mode): string[] {
  const profiles = images.flatMap((image) => image.profiles)
  if (profiles.length === 0) return []
  const sources = profiles.flatMap(({ from, sections, byHardware }) =>
    [...sections, ...byHardware].map(({ name, digest }): NamedSource => ({ name, value: digest, from })),
  )
  const names = [...new Set(sources.map(({ name }) => name))]
  const inAll = new Set(names.filter((name) => profiles.every((p) => p.sections.some((s) => s.name === name))))
  const nameDigests = new Map(
    profiles.flatMap((p) => [...p.sections, ...p.byHardware]).map((s: ReferenceSection) => [s.name, s.nameDigest]),
  )
  const pattern = (name: string, values: readonly ValueSource[]): string[] => [
    `    - name: ${quoted(name)}`,
    '      digests:',
    ...listBlock(valueSources(values), 8),
  ]
  const content = (name: string): string[] =>
    pattern(
      name,
      sources.filter((source) => source.name === name),
    )
  return ruleLines('unified-kernel', mode, 'Sections of unified kernel images, as systemd-stub measures them.', [
    'events:',
    `  pcr: ${UKI_PCR}`,
    '  types: [EV_IPL]',
    '  required:',
    ...names.filter((name) => inAll.has(name)).flatMap(content),
    '  allowed:',
    ...pattern(
      'names of sections',
      Array.from(nameDigests, ([from, value]) => ({ value, from })),
    ),
    ...names.filter((name) => !inAll.has(name)).flatMap(content),
  ])
}

/** Never more than observed: whatever else a distribution measures there makes another value. */
function unifiedKernelRegister(images: readonly ReferenceImage[]): string[] {
  const profiles = images.flatMap((image) => image.profiles)
  const values = valueSources(
    profiles.flatMap(({ from, register = [] }) =>
      register.map(({ value, after }) => ({ value, from: `${from}, after ${after}` })),
    ),
  )
  if (values.length === 0 || values.length > MAX_VALUES || profiles.some((p) => p.register === undefined)) return []
  const why = 'What the register comes to, if nothing but the stub and the phases of systemd is measured there.'
  return ruleLines('unified-kernel-register', 'observe', why, [
    'pcrs:',
    '  sha256:',
    `    ${UKI_PCR}:`,
    ...listBlock(values, 6),
  ])
}
