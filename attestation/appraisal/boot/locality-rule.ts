import { EV, STARTUP_LOCALITIES } from '../../event-log/index.ts'
import type { Finding } from '../finding.ts'
import type { BootLog } from './boot-log.ts'
import { judge, type Problem } from './judge.ts'
import { hasHcrtm, type RegisterOutcome } from './replay-boot.ts'

const RULE = 'boot.startup-locality'

/**
 * boot.startup-locality: the event says where PCR 0 starts, so it must be of PCR 0, stand before its first extend,
 * occur once, name a locality that TPM2_Startup can come from, and be what PCR 0 replays from. H-CRTM means locality 4,
 * and its event is the first of PCR 0.
 */
export function localityFindings(boot: BootLog, pcr0: RegisterOutcome | undefined): Finding[] {
  if (boot.log.registers !== 'pcr') return []
  const problems: Problem[] = []
  let logged: number | undefined
  let extended = false
  for (const entry of boot.events) {
    const { event } = entry
    if (event.type !== EV.NO_ACTION) {
      extended ||= event.register === 0
      continue
    }
    const data = boot.data(entry)
    if (data.kind === 'malformed' && data.why.includes('StartupLocality')) {
      problems.push({ tier: 'contraindicated', event: entry, message: data.why })
    }
    if (data.kind !== 'startup-locality') continue
    const wrong = misplaced(event.register, extended, logged, data.locality)
    if (wrong !== undefined) problems.push({ tier: 'contraindicated', event: entry, message: wrong })
    logged ??= data.locality
  }
  const hcrtm = boot.of(0).findIndex((entry) => entry.event.type === EV.EFI_HCRTM_EVENT)
  if (hcrtm > 0) {
    const event = boot.of(0)[hcrtm]
    const message = 'H-CRTM measures before all else, and other events stand before this one'
    problems.push({ tier: 'contraindicated', message, ...(event !== undefined && { event }) })
  }
  if (hcrtm === 0 && logged !== undefined && logged !== 4) {
    problems.push({ tier: 'contraindicated', message: `an H-CRTM event means locality 4, the log says ${logged}` })
  }
  if (pcr0?.state === 'refuted' && pcr0.locality !== undefined) {
    const message = `the log says that PCR 0 starts at locality ${logged}, the quoted value is reached from ${pcr0.locality}`
    problems.push({ tier: 'contraindicated', message, expected: `${pcr0.locality}`, seen: `${logged}` })
  }
  return judge(boot.log, RULE, 'hardware', problems, fine(boot, logged, pcr0))
}

function misplaced(
  register: number,
  extended: boolean,
  before: number | undefined,
  locality: number,
): string | undefined {
  if (register !== 0) return 'StartupLocality is of PCR 0'
  if (before !== undefined) return 'a second StartupLocality; a TPM starts once'
  if (extended) return 'StartupLocality after PCR 0 was extended'
  if (!STARTUP_LOCALITIES.some((known) => known === locality))
    return `TPM2_Startup cannot come from locality ${locality}`
  return undefined
}

function fine(boot: BootLog, logged: number | undefined, pcr0: RegisterOutcome | undefined): string {
  if (logged !== undefined) return `PCR 0 starts at locality ${logged}, as the log says`
  const crtm = hasHcrtm(boot) ? 'after H-CRTM measured, ' : ''
  if (pcr0?.state !== 'replayed' || pcr0.assumed?.kind !== 'locality')
    return `${crtm}the log does not say where PCR 0 starts`
  return `${crtm}the log does not say where PCR 0 starts; it replays from locality ${pcr0.assumed.locality}`
}
