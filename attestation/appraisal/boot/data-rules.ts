import { EV } from '../../event-log/index.ts'
import type { Finding } from '../finding.ts'
import type { BootEvent, BootLog } from './boot-log.ts'
import { judge, type Problem } from './judge.ts'

const VARIABLES: ReadonlySet<number> = new Set([
  EV.EFI_VARIABLE_DRIVER_CONFIG,
  EV.EFI_VARIABLE_BOOT,
  EV.EFI_VARIABLE_BOOT2,
  EV.EFI_VARIABLE_AUTHORITY,
])
const LAST_FIRMWARE_PCR = 7

/**
 * boot.variable-digest: a UEFI variable whose digest is not of its data says what was never measured; Secure Boot is
 * read from such data.
 */
export function variableDigestFindings(boot: BootLog): Finding[] {
  const problems = mismatches(boot, (entry) => VARIABLES.has(entry.event.type))
  return judge(
    boot.log,
    'boot.variable-digest',
    'configuration',
    problems,
    'the data of every UEFI variable is what was measured',
  )
}

/**
 * boot.data-digest: the same for every other type whose digest is taken over its data: separators, actions, tables,
 * versions, strings.
 */
export function dataDigestFindings(boot: BootLog): Finding[] {
  const problems = mismatches(boot, (entry) => !VARIABLES.has(entry.event.type))
  return judge(boot.log, 'boot.data-digest', 'executables', problems, 'where the digest is taken over the data, it is')
}

function mismatches(boot: BootLog, which: (entry: BootEvent) => boolean): Problem[] {
  return boot.events
    .filter((entry) => entry.coverage.coverage === 'mismatch' && which(entry))
    .map((event) => ({ tier: 'contraindicated', event, message: event.coverage.why }))
}

/**
 * boot.event-data: data that has not the form of its type. In the register of Secure Boot nothing may be left unread,
 * since a dbx that is read in part revokes less than it says; elsewhere makers do as they like, and no fact is taken
 * from it.
 */
export function eventDataFindings(boot: BootLog): Finding[] {
  const problems: Problem[] = []
  for (const entry of boot.events) {
    if (entry.event.register > LAST_FIRMWARE_PCR && entry.event.type !== EV.NO_ACTION) continue
    const why = malformed(boot, entry)
    if (why === undefined) continue
    const tier =
      entry.event.register === boot.role.secureBoot && entry.event.type !== EV.NO_ACTION ? 'contraindicated' : 'warning'
    problems.push({ tier, event: entry, message: `cannot be read: ${why}` })
  }
  return judge(
    boot.log,
    'boot.event-data',
    'configuration',
    problems,
    'the data of every firmware event has the form of its type',
  )
}

function malformed(boot: BootLog, entry: BootEvent): string | undefined {
  const data = boot.data(entry)
  if (data.kind === 'malformed') return data.why
  return data.kind === 'variable' && data.value.form === 'malformed' ? data.value.why : undefined
}
