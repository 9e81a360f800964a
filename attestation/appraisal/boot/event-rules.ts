import { EV, eventTypeName } from '../../event-log/index.ts'
import type { Finding } from '../finding.ts'
import { type BootEvent, type BootLog, separatorPosition } from './boot-log.ts'
import { judge, type Problem } from './judge.ts'

/**
 * Types by the clause that defines them, for the tables below. Source: PC Client Platform Firmware Profile r1.06
 * §10.4.1 and §3.3.4.
 */
const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(EV))
const BOOT_VARIABLES = [EV.EFI_VARIABLE_BOOT, EV.EFI_VARIABLE_BOOT2] as const
const IMAGES_OF_DRIVERS = [EV.EFI_BOOT_SERVICES_DRIVER, EV.EFI_RUNTIME_SERVICES_DRIVER] as const

/** In these registers a type outside the list hides what booted or who allowed it. */
const STRICT: ReadonlyMap<number, ReadonlySet<number>> = new Map([
  [
    4,
    new Set<number>([
      EV.SEPARATOR,
      EV.ACTION,
      EV.EFI_ACTION,
      EV.EFI_BOOT_SERVICES_APPLICATION,
      ...IMAGES_OF_DRIVERS,
      EV.OMIT_BOOT_DEVICE_EVENTS,
      EV.IPL,
      EV.COMPACT_HASH,
      EV.EVENT_TAG,
    ]),
  ],
  [
    7,
    new Set<number>([
      EV.SEPARATOR,
      EV.EFI_ACTION,
      EV.EFI_VARIABLE_DRIVER_CONFIG,
      EV.EFI_VARIABLE_AUTHORITY,
      EV.EFI_SPDM_DEVICE_POLICY,
      EV.EFI_SPDM_DEVICE_AUTHORITY,
    ]),
  ],
])
/** Of a BIOS's time: under UEFI an image belongs under its own type, and what was measured so cannot be told. */
const BIOS_TYPES: ReadonlySet<number> = new Set([EV.IPL, EV.COMPACT_HASH, EV.EVENT_TAG])
/** Types that mean something in these registers only. */
const AT_HOME: ReadonlyMap<number, readonly number[]> = new Map([
  [EV.EFI_BOOT_SERVICES_APPLICATION, [2, 4]],
  [EV.EFI_VARIABLE_AUTHORITY, [7]],
  [EV.EFI_HCRTM_EVENT, [0]],
])
const LAST_FIRMWARE_PCR = 7
const NO_REGISTER = 0xffffffff

/**
 * boot.event-type: the type is not measured, so a boot loader's image can be passed off as firmware, or an attacker's
 * variables as unused events. In PCR 4 and 7 only the types that belong there, in the other firmware registers only
 * types that the specification knows.
 */
export function eventTypeFindings(boot: BootLog): Finding[] {
  if (boot.log.registers !== 'pcr') return []
  const problems: Problem[] = []
  for (const entry of boot.events) {
    const { register, type } = entry.event
    if (type === EV.NO_ACTION || register > LAST_FIRMWARE_PCR) continue
    const problem = typeProblem(entry, boot.uefi)
    if (problem !== undefined) problems.push({ ...problem, event: entry })
  }
  return judge(
    boot.log,
    'boot.event-type',
    'executables',
    problems,
    'every event of PCR 0 to 7 is of a type that belongs there',
  )
}

function typeProblem({ event, action }: BootEvent, uefi: boolean): Problem | undefined {
  const { register, type } = event
  const name = eventTypeName(type)
  const home = AT_HOME.get(type)
  if (home !== undefined && !home.includes(register)) {
    return { tier: 'contraindicated', message: `${name} belongs in PCR ${home.join(' and ')}` }
  }
  if (action !== undefined && type !== EV.EFI_ACTION && type !== EV.ACTION) {
    return {
      tier: 'contraindicated',
      message: `the action '${action}' by its digest, and the log gives it another type`,
    }
  }
  const strict = STRICT.get(register)
  if (strict !== undefined && !strict.has(type)) {
    return {
      tier: 'contraindicated',
      message: `${name} does not belong in PCR ${register}: what it measures may be hidden by it`,
    }
  }
  if (register === 4 && uefi && BIOS_TYPES.has(type)) {
    return { tier: 'warning', message: `${name} in PCR 4 of a UEFI boot: what was booted cannot be told` }
  }
  if (!KNOWN_TYPES.has(type)) {
    return {
      tier: 'warning',
      message: 'a type that the specification does not know; its maker alone knows what was measured',
    }
  }
  return undefined
}

/**
 * What firmware may still measure behind the separator of a register, by type; registers that are not named have rules
 * of their own.
 */
const AFTER_SEPARATOR: ReadonlyMap<number, { readonly tier: Problem['tier']; readonly types: ReadonlySet<number> }> =
  new Map([
    [0, { tier: 'contraindicated', types: new Set<number>() }],
    // AMI's firmware measures boot variables when it has separated
    [
      1,
      { tier: 'warning', types: new Set<number>([...BOOT_VARIABLES, EV.EFI_HANDOFF_TABLES, EV.EFI_HANDOFF_TABLES2]) },
    ],
    [2, { tier: 'warning', types: new Set<number>(IMAGES_OF_DRIVERS) }],
    [3, { tier: 'warning', types: new Set<number>() }],
    [4, { tier: 'contraindicated', types: new Set<number>([...(STRICT.get(4) ?? [])]) }],
    [
      5,
      {
        tier: 'warning',
        types: new Set<number>([
          ...BOOT_VARIABLES,
          EV.EFI_GPT_EVENT,
          EV.EFI_GPT_EVENT2,
          EV.EFI_ACTION,
          EV.ACTION,
          EV.EVENT_TAG,
          EV.IPL,
          EV.IPL_PARTITION_DATA,
        ]),
      },
    ],
    [6, { tier: 'warning', types: new Set<number>() }],
  ])

/** boot.after-separator: behind the separator of its register firmware measures nothing but what belongs to booting. */
export function afterSeparatorFindings(boot: BootLog): Finding[] {
  if (boot.log.registers !== 'pcr') return []
  const problems: Problem[] = []
  for (const [register, { tier, types }] of AFTER_SEPARATOR) {
    const events = boot.of(register)
    const at = separatorPosition(events)
    if (at < 0) continue
    for (const entry of events.slice(at + 1)) {
      if (types.has(entry.event.type) || entry.separator !== undefined) continue // boot.separator tells of a second one
      problems.push({ tier, event: entry, message: `after the separator of PCR ${register}` })
    }
  }
  return judge(
    boot.log,
    'boot.after-separator',
    'executables',
    problems,
    'behind the separators there is only what belongs to booting',
  )
}

/**
 * boot.no-action: such an event is not extended, so no register speaks for it; a digest in it pretends otherwise.
 * Windows ends its log with one of no register at all, which has one.
 */
export function noActionFindings(boot: BootLog): Finding[] {
  const problems: Problem[] = []
  for (const entry of boot.events) {
    if (entry.event.type !== EV.NO_ACTION || entry.event.register === NO_REGISTER) continue
    if (Object.values(entry.event.digests).some((d) => d.some((byte) => byte !== 0))) {
      problems.push({ tier: 'contraindicated', event: entry, message: 'has a digest, and is never extended' })
    }
  }
  return judge(boot.log, 'boot.no-action', 'hardware', problems, 'no event that is not extended has a digest')
}

/** boot.padding: bytes of fill are no events, and nothing else stands behind the last one. */
export function paddingFindings(boot: BootLog): Finding[] {
  const { padding } = boot.log
  const fine =
    padding === 0 ? 'the log ends with its last event' : `${padding} bytes of fill behind the last event are ignored`
  return judge(boot.log, 'boot.padding', 'hardware', [], fine)
}
