import { toHex } from '../../base/index.ts'
import type { HashAlgorithm } from '../../crypto/index.ts'
import { type BankRegisters, banksOf, type FirmwareLog, pcrAfterStart } from '../../event-log/index.ts'
import type { VectorClaim } from '../../results/index.ts'
import { type Finding, finding } from '../finding.ts'
import type { QuotedRegisters, RegisterOutcome } from './replay-boot.ts'

/** Registers of the platform's firmware: none of what the rules say of a boot holds without them. */
export const BOOT_PCRS = [0, 1, 2, 3, 4, 5, 6, 7] as const

/**
 * What a register speaks of, by what firmware measures into it. Source: PC Client Platform Firmware Profile r1.06
 * §3.3.4.
 */
const CLAIM_OF_PCR: readonly VectorClaim[] = [
  'hardware',
  'configuration',
  'executables',
  'configuration',
  'executables',
  'configuration',
  'configuration',
  'configuration',
]

export interface ReplayRuleInput {
  /** Of the firmware log, if one was read now. */
  readonly log: FirmwareLog | undefined
  readonly quoted: QuotedRegisters
  readonly outcomes: ReadonlyMap<number, RegisterOutcome>
}

type Outcome<S extends RegisterOutcome['state']> = Extract<RegisterOutcome, { state: S }>

/** The rules that hold a log and a quote against one another. */
export function replayFindings(input: ReplayRuleInput): Finding[] {
  return [
    selectionFinding(input),
    ...replayed(input),
    ...emptyRegisters(input),
    ...banks(input),
    ...unusedBanks(input),
    strengthFinding(input),
  ]
}

/** boot.selection: a register that is not in the quote proves nothing, whatever the log says of it. */
function selectionFinding({ quoted }: ReplayRuleInput): Finding {
  const absent = BOOT_PCRS.filter((pcr) => !quoted.has(pcr))
  if (absent.length === 0) {
    return finding('boot.selection', 'affirming', 'hardware', 'the quote covers PCR 0 to 7')
  }
  const message = `the quote leaves out PCR ${absent.join(', ')}: nothing of them is known. Quote PCR 0 to 7`
  return finding('boot.selection', 'none', 'hardware', message)
}

/**
 * boot.replay: the events of each register must give the quoted value in every bank; a later log may go on behind it,
 * the firmware's may not.
 */
function replayed({ outcomes, quoted }: ReplayRuleInput): Finding[] {
  const findings: Finding[] = []
  const good: number[] = []
  const unlogged: number[] = []
  const notes: string[] = []
  let ahead = 0
  for (const [pcr, outcome] of outcomes) {
    if (outcome.state === 'refuted') findings.push(refuted(pcr, outcome, quoted.get(pcr) ?? {}))
    else if (outcome.state === 'log-missing') unlogged.push(pcr)
    else if (outcome.state === 'replayed') {
      if (outcome.invented > 0) findings.push(invented(pcr, outcome.invented))
      good.push(pcr)
      ahead += outcome.replay.events - (outcome.replay.banks.find((bank) => bank.missing === undefined)?.proven ?? 0)
      if (outcome.assumed?.kind === 'exit-boot-services') {
        notes.push(`PCR ${pcr} with the two events of ExitBootServices, which the log lacks`)
      } else if (outcome.assumed !== undefined && outcome.assumed.locality !== 0) {
        notes.push(`PCR ${pcr} from locality ${outcome.assumed.locality}, which the log does not say`)
      }
    }
  }
  if (unlogged.length > 0) findings.push(logMissing(unlogged))
  if (findings.length > 0) return findings
  if (good.length === 0)
    return [finding('boot.replay', 'none', 'executables', 'no quoted register has an event to replay')]
  const behind = ahead === 0 ? '' : `; ${ahead} later events are not proved yet`
  const assumed = notes.length === 0 ? '' : `; ${notes.join('; ')}`
  return [
    finding('boot.replay', 'affirming', 'executables', `PCR ${good.join(', ')} replay to the quote${behind}${assumed}`),
  ]
}

function refuted(pcr: number, outcome: Outcome<'refuted'>, quoted: BankRegisters): Finding {
  const { replay, banks: logged, unlogged } = outcome
  const claim = CLAIM_OF_PCR[pcr] ?? 'executables'
  if (logged.length === 0) {
    const message = `PCR ${pcr}: the log has no digest of the quoted banks (${unlogged.join(', ')}): quote a bank that the firmware logs`
    return finding('boot.replay', 'contraindicated', claim, message)
  }
  const failing = replay.banks.find((bank) => bank.proven === undefined) ?? replay.banks.at(-1)
  const bank = failing?.bank ?? 'sha256'
  const value = quoted[bank]
  const message =
    replay.events === 0
      ? `PCR ${pcr}: the quoted ${bank} value has changed or was never explained: something was measured that no log tells of`
      : `PCR ${pcr}: the ${replay.events} events of the logs do not give the quoted ${bank} value; something was measured that no log tells of, or an event was changed, removed or added`
  return finding('boot.replay', 'contraindicated', claim, message, {
    ...(value !== undefined && { expected: `${bank} ${toHex(value)}` }),
    ...(failing !== undefined && { seen: `${bank} ${toHex(failing.end)}` }),
  })
}

/** A log may run ahead of the quote only while somebody still writes it. */
function invented(pcr: number, count: number): Finding {
  const message = `PCR ${pcr}: the last ${count} events of the firmware log were not measured; its log is complete before the system starts`
  return finding('boot.replay', 'contraindicated', CLAIM_OF_PCR[pcr] ?? 'executables', message)
}

function logMissing(pcrs: readonly number[]): Finding {
  const message = `PCR ${pcrs.join(', ')}: there is no log to replay them from`
  return finding('boot.replay', 'none', 'executables', message)
}

/** boot.empty-register: a register that no log extends must be as a TPM start leaves it. */
function emptyRegisters({ outcomes, quoted }: ReplayRuleInput): Finding[] {
  const rule = 'boot.empty-register'
  const untouched: number[] = []
  const findings: Finding[] = []
  for (const [pcr, outcome] of outcomes) {
    if (outcome.state === 'untouched') untouched.push(pcr)
    if (outcome.state !== 'unexplained') continue
    const values = quoted.get(pcr) ?? {}
    const bank = banksOf(values).at(-1) ?? 'sha256'
    const value = values[bank]
    const reset = pcrAfterStart(pcr, [bank])[bank]
    const message = `PCR ${pcr} has no event in any log and is not as a TPM start leaves it: something was measured that no log tells of`
    findings.push(
      finding(rule, 'contraindicated', CLAIM_OF_PCR[pcr] ?? 'executables', message, {
        ...(reset !== undefined && { expected: `${bank} ${toHex(reset)}` }),
        ...(value !== undefined && { seen: `${bank} ${toHex(value)}` }),
      }),
    )
  }
  if (findings.length > 0) return findings
  const named =
    untouched.length === 0
      ? 'every quoted register has events'
      : `PCR ${untouched.join(', ')} have no event and are as a TPM start leaves them`
  return [finding(rule, 'affirming', 'executables', named)]
}

/**
 * boot.banks: every bank must tell the same events; one that lacks a digest or replays otherwise was forged or left
 * open.
 */
function banks({ outcomes }: ReplayRuleInput): Finding[] {
  const rule = 'boot.banks'
  const findings: Finding[] = []
  const seen = new Set<HashAlgorithm>()
  const incomplete = new Map<HashAlgorithm, readonly number[]>()
  for (const [pcr, outcome] of outcomes) {
    if (outcome.state !== 'replayed' && outcome.state !== 'refuted') continue
    for (const bank of outcome.banks) seen.add(bank)
    if (outcome.state === 'replayed') {
      for (const bank of outcome.incomplete) incomplete.set(bank, [...(incomplete.get(bank) ?? []), pcr])
      continue
    }
    const told = bankProblem(outcome)
    if (told !== undefined) findings.push(finding(rule, 'contraindicated', 'executables', `PCR ${pcr}: ${told}`))
  }
  for (const [bank, pcrs] of incomplete) {
    const message = `PCR ${pcrs.join(', ')}: not every event has a ${bank} digest, so that bank proves nothing; quote the others only`
    findings.push(finding(rule, 'warning', 'executables', message))
  }
  if (findings.length > 0) return findings
  if (seen.size === 0) return [finding(rule, 'none', 'executables', 'no bank of the log is quoted')]
  return [finding(rule, 'affirming', 'executables', `the quoted banks tell the same events: ${[...seen].join(', ')}`)]
}

function bankProblem({ replay }: Outcome<'refuted'>): string | undefined {
  const lacking = replay.banks.find((bank) => bank.missing !== undefined)
  if (lacking !== undefined) return `event ${lacking.missing} of this register has no ${lacking.bank} digest, others do`
  const good = replay.banks.find((bank) => bank.proven !== undefined)
  const bad = replay.banks.find((bank) => bank.proven !== good?.proven)
  if (good === undefined || bad === undefined) return undefined
  if (bad.proven === undefined)
    return `the ${good.bank} bank replays, the ${bad.bank} bank does not: its digests are forged`
  return `the quote proves ${good.proven} events in the ${good.bank} bank and ${bad.proven} in the ${bad.bank} bank`
}

/** boot.bank-unused: in a bank that firmware left alone, whoever comes later can write any history. */
function unusedBanks({ outcomes, log, quoted }: ReplayRuleInput): Finding[] {
  const rule = 'boot.bank-unused'
  const open = new Map<HashAlgorithm, 'reset' | 'written'>()
  for (const pcr of BOOT_PCRS) {
    const outcome = outcomes.get(pcr)
    for (const bank of outcome?.unlogged ?? []) {
      const value = quoted.get(pcr)?.[bank]
      const state = value?.every((b) => b === 0) ? 'reset' : 'written'
      if (open.get(bank) !== 'written') open.set(bank, state)
    }
  }
  if (open.size === 0) {
    const said =
      log === undefined ? 'every quoted bank was replayed' : 'the firmware log has digests of every quoted bank'
    return [finding(rule, 'affirming', 'configuration', said)]
  }
  return [...open].map(([bank, state]) =>
    state === 'written'
      ? finding(
          rule,
          'contraindicated',
          'executables',
          `the ${bank} bank has values in PCR 0 to 7 that no log tells of`,
        )
      : finding(
          rule,
          'warning',
          'configuration',
          `the ${bank} bank is allocated and firmware does not use it: anything can be measured into it. Deallocate it in the firmware's settings`,
        ),
  )
}

/** boot.bank-strength: SHA-1 collisions can be made on purpose, so a SHA-1 register does not name one boot. */
function strengthFinding({ outcomes }: ReplayRuleInput): Finding {
  const rule = 'boot.bank-strength'
  const used = [...outcomes].flatMap(([pcr, o]) => (o.state === 'replayed' ? [[pcr, o] as const] : []))
  if (used.length === 0) return finding(rule, 'none', 'executables', 'no register replays')
  const weak = used.filter(([, o]) => !strongBank(o)).map(([pcr]) => pcr)
  if (weak.length === 0)
    return finding(rule, 'affirming', 'executables', 'each register replays in SHA-256 or a stronger bank')
  const message = `PCR ${weak.join(', ')} replay in the SHA-1 bank only, and SHA-1 collisions can be made on purpose: allocate the SHA-256 bank`
  return finding(rule, 'contraindicated', 'executables', message)
}

function strongBank({ banks: logged, incomplete }: Outcome<'replayed'>): boolean {
  return logged.some((bank) => bank !== 'sha1' && !incomplete.includes(bank))
}
