import { EV, type VariableData } from '../../event-log/index.ts'
import type { Finding } from '../finding.ts'
import { type BootEvent, type BootLog, separatorPosition } from './boot-log.ts'
import { afterHandover, isBootImage } from './handover-rules.ts'
import { judge, type Problem } from './judge.ts'
import type { RegisterOutcome } from './replay-boot.ts'

/**
 * EFI_GLOBAL_VARIABLE, EFI_IMAGE_SECURITY_DATABASE_GUID: namespaces of what Secure Boot is made of. UEFI 2.10 §3.3,
 * §32.4.1.
 */
export const GLOBAL_NAMESPACE = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
export const SECURITY_NAMESPACE = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
/** SHIM_LOCK_GUID: variables of shim, which comes after the separator. */
export const SHIM_NAMESPACE = '605dab50-e046-4300-abb6-3dd810dd8b23'

/** A variable that firmware or shim measured into the register of Secure Boot. */
export interface SecureBootVariable {
  readonly entry: BootEvent
  readonly data: VariableData
  readonly afterSeparator: boolean
}

/** Order in which firmware measures them. Source: PC Client Platform Firmware Profile r1.06 §3.3.4.8. */
const ORDER: readonly string[] = ['SecureBoot', 'PK', 'KEK', 'db', 'dbx']

/**
 * Variables of this type in the register of Secure Boot, in order; events whose data cannot be read are left to
 * boot.event-data.
 */
export function secureBootVariables(boot: BootLog, type: number): readonly SecureBootVariable[] {
  let all = VARIABLES.get(boot)
  if (all === undefined) {
    all = readVariables(boot)
    VARIABLES.set(boot, all)
  }
  return all.filter((v) => v.entry.event.type === type)
}

/** Several rules and many facts ask for them; what a log says does not change. */
const VARIABLES = new WeakMap<BootLog, readonly SecureBootVariable[]>()

function readVariables(boot: BootLog): SecureBootVariable[] {
  const events = boot.of(boot.role.secureBoot)
  const separator = separatorPosition(events)
  const out: SecureBootVariable[] = []
  for (const [position, entry] of events.entries()) {
    const { type } = entry.event
    if (type !== EV.EFI_VARIABLE_DRIVER_CONFIG && type !== EV.EFI_VARIABLE_AUTHORITY) continue
    const data = boot.data(entry)
    if (data.kind === 'variable') out.push({ entry, data, afterSeparator: separator >= 0 && position > separator })
  }
  return out
}

/** The configuration as firmware measured it: before the separator, the first of each name. */
export function configVariable(boot: BootLog, namespace: string, name: string): SecureBootVariable | undefined {
  return secureBootVariables(boot, EV.EFI_VARIABLE_DRIVER_CONFIG).find(
    (v) => !v.afterSeparator && v.data.guid === namespace && v.data.name === name,
  )
}

/**
 * boot.pcr7-order: SecureBoot, PK, KEK, db, dbx, each once and before the separator; which of their entries allowed an
 * image comes behind it. A second set of variables is how an attacker shows a good configuration to a reader that takes
 * the last one.
 */
export function pcr7OrderFindings(boot: BootLog): Finding[] {
  const problems: Problem[] = []
  const config = secureBootVariables(boot, EV.EFI_VARIABLE_DRIVER_CONFIG)
  const seen = new Set<string>()
  let last = -1
  for (const { entry, data, afterSeparator } of config) {
    const name = `${data.guid} ${data.name}`
    if (seen.has(name))
      problems.push({ tier: 'contraindicated', event: entry, message: `${data.name} is measured twice` })
    seen.add(name)
    if (afterSeparator && data.guid !== SHIM_NAMESPACE) {
      problems.push({
        tier: 'contraindicated',
        event: entry,
        message: `${data.name} behind the separator, where no configuration is measured`,
      })
    }
    const place = isSecureBootNamespace(data.guid) ? ORDER.indexOf(data.name) : -1
    if (place < 0) continue
    if (place < last) {
      problems.push({
        tier: 'warning',
        event: entry,
        message: `${data.name} after ${ORDER[last]}`,
        expected: ORDER.join(', '),
      })
    }
    last = Math.max(last, place)
  }
  for (const { entry, data, afterSeparator } of secureBootVariables(boot, EV.EFI_VARIABLE_AUTHORITY)) {
    if (afterSeparator) continue
    const message = `${data.name} allowed an image before the separator: a driver of the firmware or an add-in card`
    problems.push({ tier: 'warning', event: entry, message })
  }
  return judge(
    boot.log,
    'boot.pcr7-order',
    'configuration',
    problems,
    'the Secure Boot variables stand once and in their order',
  )
}

function isSecureBootNamespace(guid: string): boolean {
  return guid === GLOBAL_NAMESPACE || guid === SECURITY_NAMESPACE
}

/** boot.debug-mode: firmware says in the register of Secure Boot that it can be debugged, so nothing it says holds. */
export function debugModeFindings(boot: BootLog): Finding[] {
  const problems = actions(
    boot,
    'debug-mode',
    'contraindicated',
    'firmware runs in UEFI Debug Mode: whoever has the debugger has the machine',
  )
  return judge(boot.log, 'boot.debug-mode', 'hardware', problems, 'firmware does not say that it can be debugged')
}

/** boot.dma-protection: firmware says that the IOMMU did not keep devices out of memory while it ran. */
export function dmaProtectionFindings(boot: BootLog): Finding[] {
  const message = 'DMA protection is disabled: a device could write to memory while firmware ran'
  const problems = actions(boot, 'dma-protection-disabled', 'warning', message)
  return judge(
    boot.log,
    'boot.dma-protection',
    'configuration',
    problems,
    'firmware does not say that DMA protection is disabled',
  )
}

function actions(boot: BootLog, which: BootEvent['action'], tier: Problem['tier'], message: string): Problem[] {
  return boot.events.filter((entry) => entry.action === which).map((event) => ({ tier, event, message }))
}

/** Whether UEFI verified what it started. `unknown` is never taken for either. */
export interface SecureBootVerdict {
  readonly state: 'enabled' | 'disabled' | 'unknown'
  /** For people: which condition decided. */
  readonly why: string
  /** True where the variable says on and a condition fails: the log contradicts itself. */
  readonly contradiction: boolean
  readonly variable?: SecureBootVariable
}

/**
 * Secure Boot is on only if everything that makes it up is there and proved: the variable is 01, PK, KEK and db have
 * entries, all of it once and before the separator, every digest of the register is its data's, no debug mode, no audit
 * mode, an image was started and an entry allowed one.
 *
 * @param outcome of the register of Secure Boot
 */
export function secureBootVerdict(boot: BootLog, outcome: RegisterOutcome | undefined): SecureBootVerdict {
  const unknown = (why: string): SecureBootVerdict => ({ state: 'unknown', why, contradiction: false })
  if (!boot.uefi) return { state: 'disabled', why: 'a boot without UEFI has no Secure Boot', contradiction: false }
  const variable = configVariable(boot, GLOBAL_NAMESPACE, 'SecureBoot')
  if (variable === undefined) return unknown('firmware measured no variable SecureBoot before the separator')
  if (outcome?.state !== 'replayed') return unknown('the register of Secure Boot is not proved by the quote')
  if (outcome.proven < boot.of(boot.role.secureBoot).length) {
    return unknown('the quote does not reach every event of the register of Secure Boot')
  }
  if (variable.entry.coverage.coverage !== 'data')
    return unknown("the digest of the variable SecureBoot is not its data's")
  const { value } = variable.data
  if (value.form === 'empty')
    return { state: 'disabled', why: 'the variable SecureBoot is absent', contradiction: false, variable }
  if (value.form !== 'switch') return unknown('the variable SecureBoot is not one byte 0 or 1')
  if (!value.on) return { state: 'disabled', why: 'the variable SecureBoot is 0', contradiction: false, variable }
  const wrong = contradiction(boot)
  if (wrong !== undefined)
    return { state: 'unknown', why: `the variable SecureBoot is 1, but ${wrong}`, contradiction: true, variable }
  return {
    state: 'enabled',
    why: 'the variable SecureBoot is 1, and all that belongs to it is proved',
    contradiction: false,
    variable,
  }
}

function contradiction(boot: BootLog): string | undefined {
  const events = boot.of(boot.role.secureBoot)
  for (const [namespace, name] of [
    [GLOBAL_NAMESPACE, 'PK'],
    [GLOBAL_NAMESPACE, 'KEK'],
    [SECURITY_NAMESPACE, 'db'],
  ] as const) {
    const key = configVariable(boot, namespace, name)
    if (key === undefined) return `${name} is not measured`
    if (key.data.value.form === 'empty') return `${name} is empty`
    if (key.data.value.form !== 'signature-lists') return `${name} cannot be read`
  }
  if (separatorPosition(events) < 0) return 'no separator ends its variables'
  const other = events.find((entry) => entry.coverage.coverage !== 'data')
  if (other !== undefined) return `event ${other.event.index} of its register is not what its digest says`
  if (events.some((entry) => entry.action === 'debug-mode')) return 'firmware can be debugged'
  if (isOn(configVariable(boot, GLOBAL_NAMESPACE, 'AuditMode'))) return 'AuditMode lets every image pass'
  const images = boot.events.filter((entry) => isBootImage(boot, entry))
  if (images.length === 0) return 'no image was verified: what was booted was started past the firmware'
  const verified = images.filter((entry) => afterHandover(boot, entry))
  const authorities = secureBootVariables(boot, EV.EFI_VARIABLE_AUTHORITY).filter((v) => isAuthority(v))
  if (verified.length > 0 && authorities.length === 0) return 'no entry of db is named that allowed an image'
  return undefined
}

/**
 * True for an entry of a list of certificates or hashes; shim measures settings of its own (SbatLevel) under the same
 * type.
 */
export function isAuthority({ data }: SecureBootVariable): boolean {
  return data.value.form === 'authority'
}

function isOn(variable: SecureBootVariable | undefined): boolean {
  return variable?.data.value.form === 'switch' && variable.data.value.on
}

/**
 * boot.secure-boot: affirming only if it is on with every condition; off is a warning; a variable that says more than
 * the rest is a lie.
 */
export function secureBootFindings(boot: BootLog, verdict: SecureBootVerdict): Finding[] {
  const tier = verdict.contradiction ? 'contraindicated' : verdict.state === 'disabled' ? 'warning' : 'none'
  const problems: Problem[] =
    verdict.state === 'enabled'
      ? []
      : [{ tier, message: verdict.why, ...(verdict.variable !== undefined && { event: verdict.variable.entry }) }]
  return judge(boot.log, 'boot.secure-boot', 'configuration', problems, verdict.why)
}
