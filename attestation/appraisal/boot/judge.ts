import { eventTypeName, type FirmwareLog, type Register, registerName } from '../../event-log/index.ts'
import type { Tier, VectorClaim } from '../../results/index.ts'
import { type Finding, finding } from '../finding.ts'
import type { BootEvent } from './boot-log.ts'

/** Something that a rule did not like. */
export interface Problem {
  readonly tier: Exclude<Tier, 'affirming'>
  readonly message: string
  readonly event?: BootEvent
  readonly expected?: string
  readonly seen?: string
}

/** A rule tells its first problems one by one, and how many more there are: an attacker chooses how many. */
const MAX_PROBLEMS = 8

/** @returns one finding for each problem; where there is none, one that says what was found to be right */
export function judge(
  log: FirmwareLog,
  rule: string,
  claim: VectorClaim,
  problems: readonly Problem[],
  fine: string,
): Finding[] {
  if (problems.length === 0) return [finding(rule, 'affirming', claim, fine)]
  const graver = [...problems].sort((a, b) => GRAVITY[b.tier] - GRAVITY[a.tier]).slice(0, MAX_PROBLEMS)
  const more = problems.length - graver.length
  return graver.map(({ tier, message, event, expected, seen }, i) => {
    const said = event === undefined ? message : `${eventName(event, log)}: ${message}`
    const text = more > 0 && i === graver.length - 1 ? `${said}; and ${more} more of the kind` : said
    return finding(rule, tier, claim, text, {
      ...(expected !== undefined && { expected }),
      ...(seen !== undefined && { seen }),
      ...(event !== undefined && {
        event: { source: 'firmware', index: event.event.index, register: registerOf(event.event.register, log) },
      }),
    })
  })
}

const GRAVITY: Readonly<Record<Problem['tier'], number>> = { none: 0, warning: 1, contraindicated: 2 }

/** e.g. `event 12 (EV_SEPARATOR, PCR 4)`. */
function eventName({ event }: BootEvent, log: FirmwareLog): string {
  return `event ${event.index} (${eventTypeName(event.type)}, ${registerName(registerOf(event.register, log))})`
}

/** The register that a number in this log is of: a CCEL counts RTMR 0 as 1. */
export function registerOf(number: number, log: Pick<FirmwareLog, 'registers'>): Register {
  return log.registers === 'pcr' ? { kind: 'pcr', index: number } : { kind: 'rtmr', index: number - 1 }
}
