import type { CompiledImaPolicy } from '../appraisal/ima/index.ts'
import { nearestName } from '../settings/index.ts'
import { banksCheck } from './checks/banks.ts'
import { clockCheck } from './checks/clock.ts'
import { commandLineCheck } from './checks/command-line.ts'
import { eventsCheck } from './checks/events.ts'
import { imaCheck } from './checks/ima.ts'
import { bootLoaderCheck, initrdCheck, kernelCheck } from './checks/images.ts'
import { launchLogCheck } from './checks/launch-log.ts'
import { pcrsCheck } from './checks/pcrs.ts'
import { platformFirmwareCheck } from './checks/platform-firmware.ts'
import { requireCheck } from './checks/require.ts'
import { secureBootCheck } from './checks/secure-boot.ts'
import { tpmFirmwareCheck } from './checks/tpm-firmware.ts'
import { readDbxFile } from './dbx-file.ts'
import { imaPolicy } from './ima-policy.ts'
import type { Check } from './policy.ts'
import { type Problem, type ReferencedFiles, referencedFileProblems } from './referenced-files.ts'
import { KNOWN_RULES, RULE_AREAS } from './rule-ids.ts'
import type { RuleText } from './schema.ts'
import { RULE_KIND_NAMES, type RuleKind } from './schema-rules.ts'

/** The one kind that a rule is of; undefined where it has none, or several. */
export function kindOf(rule: RuleText): RuleKind | undefined {
  const kinds = RULE_KIND_NAMES.filter((kind) => rule[kind] !== undefined)
  return kinds.length === 1 ? kinds[0] : undefined
}

/** @param rule of which kindProblems() found nothing wrong */
export function compileKind(
  rule: RuleText,
  files: ReferencedFiles,
): { readonly check: Check; readonly ima?: CompiledImaPolicy } {
  if (rule.ima === undefined) return { check: compileCheck(rule, files) }
  const ima = imaPolicy(rule.ima, files)
  return { check: imaCheck(ima), ima }
}

function compileCheck(rule: RuleText, files: ReferencedFiles): Check {
  if (rule.require !== undefined) return requireCheck(rule.require)
  if (rule.pcrs !== undefined) return pcrsCheck(rule.pcrs)
  if (rule.events !== undefined) return eventsCheck(rule.events)
  if (rule.bootLoader !== undefined) return bootLoaderCheck(rule.bootLoader)
  if (rule.kernel !== undefined) return kernelCheck(rule.kernel)
  if (rule.initrd !== undefined) return initrdCheck(rule.initrd)
  if (rule.commandLine !== undefined) return commandLineCheck(rule.commandLine)
  if (rule.platformFirmware !== undefined) return platformFirmwareCheck(rule.platformFirmware)
  if (rule.tpmFirmware !== undefined) return tpmFirmwareCheck(rule.tpmFirmware)
  if (rule.launchLog !== undefined) return launchLogCheck(rule.launchLog)
  if (rule.banks !== undefined) return banksCheck(rule.banks)
  if (rule.clock !== undefined) return clockCheck(rule.clock)
  if (rule.secureBoot !== undefined) {
    const name = rule.secureBoot.dbx?.atLeast?.file
    return secureBootCheck(
      rule.secureBoot,
      name === undefined ? undefined : readDbxFile(files.get(name) ?? new Uint8Array()),
    )
  }
  throw new TypeError('only rules that were checked are compiled')
}

/** @param files where what is read goes */
export function kindProblems(
  rule: RuleText,
  readReferenced: (file: string) => Uint8Array,
  files: Map<string, Uint8Array>,
): Problem[] {
  const kinds = RULE_KIND_NAMES.filter((kind) => rule[kind] !== undefined)
  if (kinds.length === 0)
    return [{ path: [], message: `the rule asks nothing; write one of ${RULE_KIND_NAMES.join(', ')}` }]
  if (kinds.length > 1) {
    const message = `a rule is of one kind, this one has ${kinds.join(' and ')}; make a rule of each`
    return [{ path: [kinds[1] ?? ''], message }]
  }
  return [
    ...requireProblems(rule),
    ...eventProblems(rule),
    ...referencedFileProblems(rule, readReferenced, files),
    ...tpmProblems(rule),
  ]
}

/** A name that no rule has would never be satisfied; it is a slip of the pen. */
function requireProblems({ require = [] }: RuleText): Problem[] {
  return require.flatMap((id, i) => {
    const path = ['require', String(i)]
    const area = id.split('.')[0] ?? ''
    const known = KNOWN_RULES.filter((rule) => rule.startsWith(`${area}.`))
    if (!RULE_AREAS.includes(area)) {
      return [
        { path, message: `there are no rules '${area}.*'; there are ${RULE_AREAS.map((a) => `${a}.*`).join(', ')}` },
      ]
    }
    if (id === `${area}.*` || KNOWN_RULES.includes(id)) return []
    const near = nearestName(id, known)
    return [{ path, message: `there is no rule '${id}'${near === undefined ? '' : `; did you mean '${near}'?`}` }]
  })
}

function eventProblems({ events }: RuleText): Problem[] {
  if (events === undefined) return []
  const lists = (['required', 'allowed', 'forbidden'] as const).filter((list) => events[list] !== undefined)
  if (lists.length === 0)
    return [{ path: ['events'], message: "the rule asks nothing; write 'required', 'allowed' or 'forbidden'" }]
  return lists.flatMap((list) =>
    (events[list] ?? []).flatMap(({ digests, text, type }, i) => {
      const path = ['events', list, String(i)]
      if (digests !== undefined || text !== undefined) return []
      // a type is the log's claim, so it cannot be what makes an event good
      if (list === 'forbidden' && type !== undefined) return []
      return [{ path, message: "nothing here is proved by the quote; write 'digests' or 'text'" }]
    }),
  )
}

function tpmProblems({ tpmFirmware }: RuleText): Problem[] {
  if (tpmFirmware?.otherVendors === 'refuse' && tpmFirmware.vendors === undefined) {
    return [{ path: ['tpmFirmware', 'otherVendors'], message: "other than whom? write 'vendors' too" }]
  }
  return []
}
