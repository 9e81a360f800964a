import { EV } from '../../event-log/index.ts'
import type { Finding } from '../finding.ts'
import { type BootEvent, type BootLog, isEmptyCrtmPart, separatorPosition } from './boot-log.ts'
import { judge, type Problem } from './judge.ts'
import { BOOT_PCRS } from './replay-rules.ts'

/** Windows ends its measurements in these with a separator of its own, "WBCL". */
const WINDOWS_PCRS: ReadonlySet<number> = new Set([12, 13, 14])

/**
 * boot.separator: told by digest, as the type is not measured. One in each of PCR 0 to 7, of 00000000 or FFFFFFFF; an
 * error separator means that firmware failed to measure; an event typed as separator with another digest, or a
 * separator under another type, was forged.
 */
export function separatorFindings(boot: BootLog): Finding[] {
  const problems: Problem[] = []
  const seen = new Set<number>()
  for (const entry of boot.events) {
    const wrong = separatorProblem(entry, boot, seen)
    if (wrong !== undefined) problems.push({ tier: 'contraindicated', event: entry, ...wrong })
    if (isEmptyCrtmPart(entry.event)) {
      const message =
        'four zero bytes measured as a part of the firmware: an empty table entry, or a separator by another name'
      problems.push({ tier: 'warning', event: entry, message })
    }
    if (entry.separator === 'boot') seen.add(entry.event.register)
  }
  return judge(
    boot.log,
    'boot.separator',
    'configuration',
    problems,
    'one separator at most in each register, each in its place',
  )
}

function separatorProblem(
  { event, separator }: BootEvent,
  { log }: BootLog,
  seen: ReadonlySet<number>,
): Pick<Problem, 'message' | 'expected'> | undefined {
  const typed = event.type === EV.SEPARATOR
  if (separator === undefined) {
    if (!typed) return undefined
    const message = 'typed as separator, and its digest is of none'
    return { message, expected: 'the digest of 00000000 or FFFFFFFF' }
  }
  if (separator === 'other') return { message: 'its digests are of a separator in some banks only' }
  if (separator === 'error') return { message: 'an error separator: firmware says that it failed to measure' }
  if (!typed) return { message: 'a separator by its digest, and the log gives it another type' }
  if (log.registers !== 'pcr') return undefined // several PCRs share one register there
  if (separator === 'windows') {
    return WINDOWS_PCRS.has(event.register)
      ? undefined
      : { message: 'a separator of Windows, which belongs in PCR 12 to 14' }
  }
  if (seen.has(event.register)) return { message: 'a second separator: what follows the first is not of the firmware' }
  return undefined
}

/**
 * boot.truncated: firmware separates every one of PCR 0 to 7 before it hands over. A log without one of them ends too
 * early, even if it replays: the boot went on, or the log was cut.
 */
export function truncationFindings(boot: BootLog): Finding[] {
  const registers = boot.log.registers === 'pcr' ? BOOT_PCRS : [boot.role.secureBoot, boot.role.applications]
  const absent = registers.filter((register) => separatorPosition(boot.of(register)) < 0)
  const names = boot.log.registers === 'pcr' ? `PCR ${absent.join(', ')}` : `measurement register ${absent.join(', ')}`
  const message = `no separator in ${names}: the log ends before the firmware handed over, or was cut`
  const problems: Problem[] = absent.length === 0 ? [] : [{ tier: 'contraindicated', message }]
  return judge(
    boot.log,
    'boot.truncated',
    'configuration',
    problems,
    'the log has the separators that end the firmware part',
  )
}
