import { EV } from '../../event-log/index.ts'
import type { Finding } from '../finding.ts'
import { type BootEvent, type BootLog, separatorPosition } from './boot-log.ts'
import { judge, type Problem } from './judge.ts'
import type { RegisterOutcome } from './replay-boot.ts'

/** How the firmware's services ended. */
export type ExitBootServices = 'logged' | 'assumed' | 'failed' | 'incomplete' | 'absent' | 'not-uefi'

/** @param outcome of the register that they are measured into */
export function exitBootServices(boot: BootLog, outcome: RegisterOutcome | undefined): ExitBootServices {
  if (!boot.uefi) return 'not-uefi'
  const actions = boot.of(boot.role.bootManager).map((entry) => entry.action)
  if (actions.includes('exit-boot-services-succeeded')) return 'logged'
  if (outcome?.state === 'replayed' && outcome.assumed?.kind === 'exit-boot-services') return 'assumed'
  if (actions.includes('exit-boot-services-failed')) return 'failed'
  return actions.includes('exit-boot-services') ? 'incomplete' : 'absent'
}

/**
 * boot.exit-boot-services: "Exit Boot Services Invocation", then "Exit Boot Services Returned with Success", and
 * nothing behind. EDK II may tell of a failed call without having told of the call. Whatever follows is not of
 * the firmware: the operating system can extend these registers and write any event into the log.
 */
export function exitBootServicesFindings(boot: BootLog, outcome: RegisterOutcome | undefined): Finding[] {
  const problems: Problem[] = []
  let invoked = false
  let ended = false
  for (const entry of boot.events) {
    if (entry.event.type === EV.NO_ACTION) continue
    if (ended) {
      problems.push({ tier: 'contraindicated', event: entry, message: 'after ExitBootServices: not of the firmware' })
      continue
    }
    if (entry.action === undefined) continue
    const wrong = exitProblem(entry, invoked, boot.role.bootManager)
    if (wrong !== undefined) problems.push({ tier: 'contraindicated', event: entry, message: wrong })
    if (entry.action === 'exit-boot-services') invoked = true
    ended = entry.action === 'exit-boot-services-succeeded'
  }
  const state = exitBootServices(boot, outcome)
  const missing = MISSING[state]
  if (missing !== undefined) problems.push({ tier: 'warning', message: missing })
  return judge(boot.log, 'boot.exit-boot-services', 'configuration', problems, FINE[state] ?? '')
}

const MISSING: Partial<Record<ExitBootServices, string>> = {
  absent: 'neither log nor PCR 5 tells that boot services ended: this firmware does not measure it, or the log was cut',
  incomplete: 'ExitBootServices was called, and nothing tells that it came to an end',
  failed: 'ExitBootServices failed, and nothing tells of another try',
}

const FINE: Partial<Record<ExitBootServices, string>> = {
  logged: 'boot services ended, and no event stands behind that',
  assumed: 'the log lacks the end of boot services, PCR 5 proves it: the kernel did not copy the final events table',
  'not-uefi': 'a boot without UEFI has no boot services to end',
}

function exitProblem({ event, action }: BootEvent, invoked: boolean, register: number): string | undefined {
  if (
    action !== 'exit-boot-services' &&
    action !== 'exit-boot-services-succeeded' &&
    action !== 'exit-boot-services-failed'
  ) {
    return undefined
  }
  if (event.register !== register) return `the end of boot services is measured into another register`
  if (action === 'exit-boot-services-succeeded' && !invoked)
    return 'ExitBootServices returned without having been called'
  return undefined
}

/**
 * boot.efi-action-order: firmware says "Calling EFI Application from Boot Option" before it starts one, and "Returning
 * from..." before it tries another. Some firmware never does (AMI), some into PCR 5 (Lenovo): what can be told then is
 * only on which side of the separator an image was.
 */
export function actionOrderFindings(boot: BootLog): Finding[] {
  const problems: Problem[] = []
  let called: BootEvent | undefined
  let calls = 0
  const firstCall = boot.events.findIndex((entry) => entry.action === 'calling-application')
  for (const [position, entry] of boot.events.entries()) {
    if (entry.action === 'calling-application') {
      calls++
      if (called !== undefined) {
        problems.push({
          tier: 'contraindicated',
          event: entry,
          message: 'a second application is called before the first returned',
        })
      }
      called = entry
    } else if (entry.action === 'returning-application') {
      const message = 'a boot option returned, and another was tried: what ran first had the machine to itself'
      problems.push(
        called === undefined
          ? { tier: 'contraindicated', event: entry, message: 'an application returns that was not called' }
          : { tier: 'warning', event: entry, message },
      )
      called = undefined
    } else if (isBootImage(boot, entry) && called === undefined && firstCall >= 0 && afterHandover(boot, entry)) {
      const message =
        position < firstCall ? 'started before the call of an application' : 'started while no application was called'
      problems.push({ tier: 'contraindicated', event: entry, message })
    }
  }
  const fine =
    calls > 0
      ? 'images were started after the call of a boot option'
      : 'this firmware does not measure the call of a boot option'
  return judge(boot.log, 'boot.efi-action-order', 'executables', problems, fine)
}

/** An EFI application in the register of what is booted. */
export function isBootImage(boot: BootLog, { event }: BootEvent): boolean {
  return event.register === boot.role.applications && event.type === EV.EFI_BOOT_SERVICES_APPLICATION
}

/** True for an event behind the separator of its register. */
export function afterHandover(boot: BootLog, entry: BootEvent): boolean {
  const events = boot.of(entry.event.register)
  const at = separatorPosition(events)
  return at >= 0 && events.indexOf(entry) > at
}

/**
 * boot.boot-application: what was booted must have been measured. A UEFI firmware measures every image it starts; none
 * in the log means that something was started past it (QEMU before 10 and OVMF start a kernel given with -kernel so,
 * CVE-2025-2296).
 */
export function bootApplicationFindings(boot: BootLog): Finding[] {
  const rule = 'boot.boot-application'
  const events = boot.of(boot.role.applications)
  const images = events.filter((entry) => isBootImage(boot, entry))
  if (boot.uefi) {
    const message = 'no image in PCR 4: what was booted is not measured, it was started past the firmware'
    const problems: Problem[] = images.length > 0 ? [] : [{ tier: 'contraindicated', message }]
    return judge(
      boot.log,
      rule,
      'executables',
      problems,
      `${images.length} images were measured when they were started`,
    )
  }
  const loaders = events.filter(({ event }) => event.type === EV.IPL || event.type === EV.COMPACT_HASH)
  const message = 'no boot loader in PCR 4: what was booted is not measured'
  const problems: Problem[] = loaders.length > 0 ? [] : [{ tier: 'warning', message }]
  return judge(boot.log, rule, 'executables', problems, 'the boot loader was measured')
}
