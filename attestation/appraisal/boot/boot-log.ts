import {
  decodeFirmwareEventData,
  EV,
  type FirmwareEvent,
  type FirmwareEventCoverage,
  type FirmwareEventData,
  type FirmwareLog,
  firmwareEventCoverage,
  type SeparatorValue,
  separatorOf,
} from '../../event-log/index.ts'
import { actionOf, type BootAction } from './actions.ts'

/** An event of a firmware log with all that can be told of it without a quote. */
export interface BootEvent {
  readonly event: FirmwareEvent
  readonly coverage: FirmwareEventCoverage
  /** By digest, whatever the type says; but for the deviation that `isEmptyCrtmPart` tells. */
  readonly separator: SeparatorValue | undefined
  /** By digest, whatever the type says. */
  readonly action: BootAction | undefined
}

/**
 * A firmware log as rules and facts read it. Registers of what they look for: PCRs of a PC Client, or measurement
 * registers of a TDX guest, where several PCRs share one.
 */
export interface BootLog {
  readonly log: FirmwareLog
  readonly events: readonly BootEvent[]
  /** False for a log of a BIOS: it knows no EFI event. */
  readonly uefi: boolean
  /** Events that are extended into a register, in order. */
  readonly of: (register: number) => readonly BootEvent[]
  /** Registers that have such events, ascending. */
  readonly registers: readonly number[]
  /** What an event's data says; decoded once. A claim as long as its digest does not cover it. */
  readonly data: (event: BootEvent) => FirmwareEventData
  readonly role: { readonly secureBoot: number; readonly applications: number; readonly bootManager: number }
}

const FIRST_EFI_TYPE = 0x80000000
const PCR_ROLES = { secureBoot: 7, applications: 4, bootManager: 5 } as const
/** TDX: PCR 0, 1 and 7 are RTMR 0, PCR 2 to 6 are RTMR 1; a CCEL numbers them from 1. Source: UEFI 2.10 §38.4.1. */
const RTMR_ROLES = { secureBoot: 1, applications: 2, bootManager: 2 } as const
const NONE: readonly BootEvent[] = []

export function bootLog(log: FirmwareLog): BootLog {
  const events: BootEvent[] = []
  const byRegister = new Map<number, BootEvent[]>()
  const decoded = new Map<number, FirmwareEventData>()
  let uefi = false
  for (const event of log.events) {
    const extended = event.type !== EV.NO_ACTION
    const entry: BootEvent = {
      event,
      coverage: firmwareEventCoverage(event, log),
      separator: extended && !isEmptyCrtmPart(event) ? separatorOf(event) : undefined,
      action: extended ? actionOf(event.digests) : undefined,
    }
    events.push(entry)
    if (!extended) continue
    uefi ||= event.type >= FIRST_EFI_TYPE
    const list = byRegister.get(event.register)
    if (list === undefined) byRegister.set(event.register, [entry])
    else list.push(entry)
  }
  return {
    log,
    events,
    uefi,
    of: (register) => byRegister.get(register) ?? NONE,
    registers: [...byRegister.keys()].sort((a, b) => a - b),
    data: (entry) => {
      const known = decoded.get(entry.event.index)
      if (known !== undefined) return known
      const data = decodeFirmwareEventData(entry.event, log)
      decoded.set(entry.event.index, data)
      return data
    },
    role: log.registers === 'pcr' ? PCR_ROLES : RTMR_ROLES,
  }
}

/**
 * Deviation EMPTY-CRTM-PART: firmware with Intel Boot Guard measures an empty entry of its interface table (FIT type
 * 0x2D, seen with a Google workstation of 2019) as four zero bytes, which is a separator's digest. The rule
 * boot.separator warns of it, since an attacker could hide the real one so.
 */
export function isEmptyCrtmPart(event: FirmwareEvent): boolean {
  return event.register === 0 && event.type === EV.S_CRTM_CONTENTS && separatorOf(event) === 'boot'
}

/** Index, within its register, of the separator that ends the firmware's own measurements; -1 where there is none. */
export function separatorPosition(events: readonly BootEvent[]): number {
  return events.findIndex((entry) => entry.separator === 'boot')
}
