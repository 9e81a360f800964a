import type { BootFacts, DigestTexts, Fact, KeyList } from '../appraisal/boot/index.ts'
import type { Finding } from '../appraisal/index.ts'
import { toHex } from '../base/index.ts'
import type { PcrValue } from '../tpm2/index.ts'
import { commandLineArguments } from './checks/command-line.ts'
import { makerOf } from './checks/tpm-firmware.ts'
import { comment, listBlock, quoted, type ValueSource, valueSources } from './draft-text.ts'
import { globLiteral } from './glob.ts'
import type { Mode } from './policy.ts'
import { compareVersions, tpmVersion, type VersionNumber, versionText } from './version-number.ts'

/** What one machine proved, to make a policy of. */
export interface DraftMachine {
  /** For comments: where it comes from. */
  readonly from: string
  readonly registers: readonly PcrValue[]
  readonly boot: BootFacts | undefined
  readonly findings: readonly Finding[]
  readonly tpm: { readonly manufacturer?: string; readonly firmwareVersion: bigint }
  /** Files that IMA measured, and proved: digests by path. */
  readonly files: ReadonlyMap<string, readonly string[]> | undefined
}

export interface DraftOptions {
  readonly name: string
  readonly owner: string
  /** Of every rule that it writes. */
  readonly mode: Mode
  /** Name and SHA-256 of the list of files beside it. */
  readonly digests?: { readonly file: string; readonly sha256: string }
}

/**
 * A policy in YAML that these machines satisfy, as far as their evidence goes; every value has a comment that says
 * where it was seen. Machines of one kind are merged: what one of them has is good for all.
 */
export function draftPolicy(machines: readonly DraftMachine[], options: DraftOptions): string {
  const { name, owner, mode } = options
  const boots = machines.flatMap((m) =>
    m.boot === undefined ? [] : [{ from: m.from, boot: m.boot, registers: m.registers }],
  )
  const rules = [
    ...requireRules(machines, mode),
    ...registerRule(machines),
    ...secureBootRule(boots, mode),
    ...imageRules(boots, mode),
    ...commandLineRule(boots, mode),
    ...firmwareRule(boots, mode),
    ...tpmRule(machines, mode),
    ...filesRule(machines, options),
  ]
  return [
    `# Made from evidence: ${comment(machines.map((m) => m.from).join(', '))}`,
    ...(machines.length === 1
      ? [
          '# Of one machine only, so remove what is its own, such as root=UUID=...; several of one kind show what they share.',
        ]
      : []),
    '# It says what they were, not that they were good: review it before it enforces anything. default.yaml explains the form.',
    'version: 1',
    `name: ${name}`,
    `owner: ${quoted(owner)}`,
    '# nodes: {all: {role: worker}}   # which nodes it is for; without it, all that no other policy is for',
    'unlisted: enforce',
    'rules:',
    ...(rules.length === 0 ? ['  {}'] : rules),
    '',
  ].join('\n')
}

type Booted = { readonly from: string; readonly boot: BootFacts; readonly registers: readonly PcrValue[] }

function rule(name: string, mode: Mode, description: string, body: readonly string[]): string[] {
  return [
    `  ${name}:`,
    `    description: ${quoted(description)}`,
    `    mode: ${mode}`,
    ...body.map((line) => `    ${line}`),
  ]
}

/** Rules that found nothing wrong with any machine are required; those that did are told of, and only observed. */
function requireRules(machines: readonly DraftMachine[], mode: Mode): string[] {
  const wrong = new Map<string, string>()
  const all = new Set<string>()
  for (const { findings, from } of machines) {
    for (const { rule, tier, message } of findings) {
      if (!rule.startsWith('boot.') || rule === 'boot.changes') continue
      all.add(rule)
      if (tier !== 'affirming') wrong.set(rule, `${tier} on ${from}: ${message}`)
    }
  }
  const good = [...all].filter((id) => !wrong.has(id) && machines.every((m) => m.findings.some((f) => f.rule === id)))
  const odd = [...wrong].map(([id, why]) => `  - ${id} # ${comment(why)}`)
  return [
    ...(good.length === 0
      ? []
      : rule('orderly-boot', mode, 'What was right with every machine.', [
          'require:',
          ...good.map((id) => `  - ${id}`),
        ])),
    ...(odd.length === 0
      ? []
      : rule('oddities', 'observe', 'What was not: look at each before it is enforced.', ['require:', ...odd])),
  ]
}

/** Of the firmware only, and never more than observed: such values change with each update. */
function registerRule(machines: readonly DraftMachine[]): string[] {
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
  return rule('firmware-registers', 'observe', 'Registers of the firmware; they change with each update of it.', [
    'pcrs:',
    '  sha256:',
    ...lines,
  ])
}

function secureBootRule(boots: readonly Booted[], mode: Mode): string[] {
  const state = boots[0]?.boot.secureBoot.state
  if (state === undefined || boots.some(({ boot }) => boot.secureBoot.state !== state)) return []
  if (boots.some(({ boot }) => boot.secureBoot.variable?.proof !== 'data')) return []
  if (state !== 'enabled') {
    return state === 'unknown'
      ? []
      : rule('secure-boot', 'observe', 'Secure Boot is disabled on every machine.', ['secureBoot: {enabled: false}'])
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
  return rule('secure-boot', mode, 'Secure Boot, and the keys that allowed what was booted.', [
    'secureBoot:',
    '  enabled: true',
    ...(authorities.length === 0 ? [] : ['  authorities:', '    allowed:', ...listBlock(authorities, 6)]),
    ...(least > 0 ? [`  dbx: {minimumEntries: ${least}}`] : []),
  ])
}

function provedCount(list: Fact<KeyList> | undefined): number {
  return list?.proof === 'data' ? list.value.count : 0
}

function imageRules(boots: readonly Booted[], mode: Mode): string[] {
  const of = (
    name: string,
    kind: string,
    description: string,
    pick: (boot: BootFacts) => readonly Fact<{ digests: DigestTexts }>[],
  ): string[] => {
    if (boots.length === 0 || boots.some(({ boot }) => pick(boot).length === 0)) return []
    const sources = valueSources(boots.flatMap((b) => pick(b.boot).flatMap((fact) => digestSources(fact, b))))
    return sources.length === 0
      ? []
      : rule(name, mode, description, [`${kind}:`, '  digests:', ...listBlock(sources, 4)])
  }
  return [
    ...of('boot-loader', 'bootLoader', 'What was started before the kernel.', (boot) => boot.applications.slice(0, -1)),
    ...of('kernel', 'kernel', 'The last image that was started.', (boot) => boot.applications.slice(-1)),
    ...of('initrd', 'initrd', 'Initial file systems.', (boot) => boot.initrds),
  ]
}

/** Digests in the banks that the quote proves, strongest of them only. */
function digestSources(
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

function commandLineRule(boots: readonly Booted[], mode: Mode): string[] {
  const texts: string[] = []
  const digests: ValueSource[] = []
  let textless = false
  for (const booted of boots) {
    let read = false
    for (const line of booted.boot.commandLines) {
      const { text } = line.value
      if (line.proof === 'data' && text !== undefined) {
        texts.push(text)
        read = true
      } else digests.push(...digestSources(line, booted))
    }
    textless ||= !read
  }
  // where a digest is asked for at all, every command line without text needs its own
  const sources = textless ? valueSources(digests) : []
  const named = sources.length === 0 ? [] : ['  digests:', ...listBlock(sources, 4)]
  const all = texts.map(commandLineArguments)
  const common = [...new Set(all[0] ?? [])].filter((arg) => arg !== '' && all.every((args) => args.includes(arg)))
  if (common.length > 0) {
    return rule('command-line', mode, 'What every kernel command line has, and what none has.', [
      ...texts.slice(0, 4).map((text) => `# ${comment(text)}`),
      'commandLine:',
      '  mustContain:',
      ...common.slice(0, MAX_ARGUMENTS).map((arg) => `    - ${quoted(globLiteral(arg))}`),
      ...forbidden(all),
      ...named,
    ])
  }
  if (sources.length === 0) return []
  const why =
    'Their text is not in the log, so each one needs its digest here; one that differs from machine to machine cannot be enforced.'
  return rule('command-line', 'observe', why, ['commandLine:', ...named])
}

/** As many patterns as a policy can have. */
const MAX_ARGUMENTS = 256

/** Ways around what was booted that none of the machines uses. */
function forbidden(all: readonly (readonly string[])[]): string[] {
  const unused = ['init=', 'rdinit=', 'systemd.debug-shell'].filter(
    (start) => !all.flat().some((arg) => arg.startsWith(start)),
  )
  return unused.length === 0 ? [] : ['  mustNotContain:', ...unused.map((start) => `    - ${quoted(`${start}*`)}`)]
}

function firmwareRule(boots: readonly Booted[], mode: Mode): string[] {
  const versions = boots.map(({ boot, from }) => ({
    value: boot.crtmVersion?.proof === 'data' ? boot.crtmVersion.value : '',
    from,
  }))
  if (versions.length === 0 || versions.some(({ value }) => value === '')) return []
  const sources = valueSources(versions)
  return rule(
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

function tpmRule(machines: readonly DraftMachine[], mode: Mode): string[] {
  const least = new Map<string, VersionNumber>()
  for (const { tpm } of machines) {
    const maker = makerOf(tpm.manufacturer)
    if (maker === undefined || !/^[A-Z0-9]{2,4}$/.test(maker)) return []
    const version = tpmVersion(tpm.firmwareVersion)
    const known = least.get(maker)
    if (known === undefined || compareVersions(version, known) < 0) least.set(maker, version)
  }
  return rule('tpm-firmware', mode, 'Makers of TPMs, and the oldest firmware seen of each.', [
    'tpmFirmware:',
    '  vendors:',
    ...[...least].map(([id, version]) => `    ${id}: {minimum: ${quoted(versionText(version))}}`),
    '  knownVulnerable: refuse',
  ])
}

function filesRule(machines: readonly DraftMachine[], { mode, digests }: DraftOptions): string[] {
  const count = machines.filter((m) => m.files !== undefined).length
  if (digests === undefined) {
    return count === 0
      ? []
      : ['  # Their lists of IMA are left out: write the policy into a file with --out, and the digests go beside it.']
  }
  return rule('files', mode, 'What IMA measured.', [
    'ima:',
    `  digests: [{file: ${quoted(digests.file)}, sha256: ${quoted(digests.sha256)}}]`,
    '  excludes: ["/tmp/**", "/run/**", "/var/tmp/**"]',
    '  ignoredKeyrings: ["*"]',
    '  buffers: {"**": any}',
  ])
}

/** Digests of all machines as readDigestList() reads them. */
export function digestListText(machines: readonly DraftMachine[]): string {
  const lines = new Set<string>()
  for (const { files } of machines) {
    for (const [path, digests] of files ?? []) for (const digest of digests) lines.add(`${digest}  ${path}\n`)
  }
  return [...lines].sort().join('')
}
