import type { MeasureLogRecord, Proof } from '../../event-log/index.ts'
import type { BootLog } from './boot-log.ts'
import { factSource } from './fact-source.ts'
import type { BootFacts, Fact, SystemdFact } from './facts.ts'
import { firmwareFacts, imageFacts } from './firmware-facts.ts'
import { exitBootServices } from './handover-rules.ts'
import { loaderFacts } from './loader-facts.ts'
import { hasHcrtm, loggedLocality, type QuotedRegisters, type RegisterOutcome } from './replay-boot.ts'
import { BOOT_PCRS } from './replay-rules.ts'
import { secureBootFacts, shimFacts } from './secure-boot-facts.ts'
import type { SecureBootVerdict } from './secure-boot-rules.ts'

const DYNAMIC_PCRS = [17, 18, 19, 20, 21, 22] as const

export interface BootFactsInput {
  readonly boot: BootLog
  readonly records: readonly MeasureLogRecord[]
  readonly quoted: QuotedRegisters
  readonly outcomes: ReadonlyMap<number, RegisterOutcome>
  readonly secureBoot: SecureBootVerdict
}

/** The facts of one boot: what its logs say, each with what the quote proves of it. */
export function bootFacts(input: BootFactsInput): BootFacts {
  const { boot, outcomes } = input
  const source = factSource(boot, outcomes)
  const secureBoot = secureBootFacts(source, input.secureBoot)
  const { sections, shimVariables, ...loaders } = loaderFacts(source)
  const systemd = systemdFacts(input.records, boot, outcomes)
  const locality = startLocality(boot, outcomes.get(0))
  return {
    firmware: boot.uefi ? 'uefi' : 'bios',
    ...(locality !== undefined && { startupLocality: locality }),
    hcrtm: hasHcrtm(boot),
    ...firmwareFacts(source),
    secureBoot,
    separators: separators(boot, source.proof),
    exitBootServices: exitBootServices(boot, outcomes.get(boot.role.bootManager)),
    debugMode: boot.events.some((entry) => entry.action === 'debug-mode'),
    dmaProtectionDisabled: boot.events.some((entry) => entry.action === 'dma-protection-disabled'),
    ...imageFacts(source, secureBoot.authorities),
    bootAttempts: boot.events.filter((entry) => entry.action === 'calling-application').length,
    ...loaders,
    unifiedKernel: { sections, phases: phasesOf(systemd) },
    shim: { ...shimFacts(source), variables: shimVariables },
    systemd: systemd.filter((f) => f.value.type !== PHASE),
    dynamicLaunch: dynamicLaunch(input.quoted, outcomes),
  }
}

const PHASE = 'phase'

/** The facts of an earlier quote of the same boot, with what systemd has measured since. */
export function withRecords(
  facts: BootFacts,
  records: readonly MeasureLogRecord[],
  outcomes: ReadonlyMap<number, RegisterOutcome>,
): BootFacts {
  const [first] = records
  if (first === undefined) return facts
  const added = systemdFacts(records, undefined, outcomes)
  const earlier = (fact: Fact<unknown>): boolean => fact.event < first.index // others come again
  const { sections, phases } = facts.unifiedKernel
  return {
    ...facts,
    unifiedKernel: { sections, phases: [...phases.filter(earlier), ...phasesOf(added)] },
    systemd: [...facts.systemd.filter(earlier), ...added.filter((f) => f.value.type !== PHASE)],
  }
}

function phasesOf(facts: readonly Fact<SystemdFact>[]): Fact<string>[] {
  return facts.filter((f) => f.value.type === PHASE).map(({ value, ...fact }) => ({ ...fact, value: value.text }))
}

function startLocality(boot: BootLog, pcr0: RegisterOutcome | undefined): BootFacts['startupLocality'] {
  if (pcr0?.state !== 'replayed') return undefined
  return pcr0.assumed?.kind === 'locality' ? pcr0.assumed.locality : (loggedLocality(boot) ?? 0)
}

function separators(boot: BootLog, proof: (entry: BootLog['events'][number]) => Proof): BootFacts['separators'] {
  const found = boot.events.flatMap((entry) =>
    entry.separator === undefined
      ? []
      : [{ register: entry.event.register, value: entry.separator, proof: proof(entry) }],
  )
  if (boot.log.registers !== 'pcr') return found
  const absent = BOOT_PCRS.filter((pcr) => !found.some((s) => s.register === pcr))
  return [...found, ...absent.map((register) => ({ register, value: 'absent' as const, proof: 'refuted' as const }))]
}

function systemdFacts(
  records: readonly MeasureLogRecord[],
  boot: BootLog | undefined,
  outcomes: ReadonlyMap<number, RegisterOutcome>,
): Fact<SystemdFact>[] {
  const positions = new Map<number, number>()
  return records.flatMap(
    ({ register: { kind, index: register }, eventType = 'systemd', string = '', measured, index }) => {
      if (kind !== 'pcr') return []
      const position = positions.get(register) ?? boot?.of(register).length ?? 0
      positions.set(register, position + 1)
      const proof = recordProof(outcomes.get(register), position, measured)
      return [{ value: { type: eventType, text: string }, proof, source: 'systemd' as const, register, event: index }]
    },
  )
}

function recordProof(
  outcome: RegisterOutcome | undefined,
  position: number,
  measured: MeasureLogRecord['measured'],
): Proof {
  if (outcome === undefined || outcome.state === 'not-quoted' || outcome.state === 'log-missing') return 'not-quoted'
  if (outcome.state !== 'replayed' || measured === 'other') return 'refuted'
  if (position >= outcome.proven) return 'not-yet'
  return measured === 'string' ? 'data' : 'digest'
}

function dynamicLaunch(
  quoted: QuotedRegisters,
  outcomes: ReadonlyMap<number, RegisterOutcome>,
): BootFacts['dynamicLaunch'] {
  if (!DYNAMIC_PCRS.some((pcr) => quoted.has(pcr))) return 'not-quoted'
  return DYNAMIC_PCRS.every((pcr) => !quoted.has(pcr) || outcomes.get(pcr)?.state === 'untouched')
    ? 'none'
    : 'took-place'
}
