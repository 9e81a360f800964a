import { appraiseBoot, type BootAppraisal } from '../appraisal/boot/index.ts'
import {
  type AppraisalResult,
  appraisalResult,
  type ContinuityKind,
  type Finding,
  finding,
  type LaunchLogState,
} from '../appraisal/index.ts'
import {
  type AppraisalPolicy,
  applyPolicy,
  type Labels,
  type PolicyBoot,
  type PolicyFacts,
  policyNeeds,
} from '../appraisal-policy/index.ts'
import type { HashAlgorithm } from '../crypto/index.ts'
import { type BankRegisters, type BankValues, IMA_PCR, type Register, type TimelineEvent } from '../event-log/index.ts'
import type { MachineLogPiece, MachineLogSource, WantedMachineLogs } from '../protocol/index.ts'
import type { PcrValue } from '../tpm2/index.ts'
import { type ChangedRegisters, changedRegisters, isJudged } from './changed-registers.ts'
import { bootChanges, bootSummary } from './changes.ts'
import { type ImaStep, imaStep } from './ima-step.ts'
import type { MachineStart, MachineState } from './state.ts'

/** One verified quote of a machine, with the logs that came beside it. */
export interface MachineInput {
  readonly previous: MachineState | undefined
  /** Of the quote. */
  readonly start: MachineStart
  readonly continuity: ContinuityKind
  /** Values that the quote covers, and nothing else. */
  readonly quoted: readonly PcrValue[]
  readonly pieces: readonly MachineLogPiece[]
  /** The launch log's register, which is appraised elsewhere, and what explainedStartValues() gave for it. */
  readonly launchPcr: number
  readonly explained: readonly BankValues[]
  /** What everything else found. */
  readonly findings: readonly Finding[]
  readonly node: { readonly id: string; readonly labels: Labels }
  readonly launchLog: LaunchLogState | undefined
  readonly tpm: PolicyFacts['tpm']
  readonly clock: PolicyFacts['clock']
  /** The policy for this node; undefined where the verifier has none at all. */
  readonly policy: AppraisalPolicy | undefined
  readonly now: Date
}

export interface MachineAppraisal {
  readonly state: MachineState
  /** As the policy weighs them. */
  readonly result: AppraisalResult
  /** Whether a log comes in pieces and has to be asked for at once. */
  readonly more: boolean
  /** Every event of the logs that came, with what is proved of it. */
  readonly timeline: (only?: Register) => Generator<TimelineEvent>
}

/**
 * Appraises the logs of a machine against a verified quote, and then everything by the policy. Pure; total for whatever a node sends.
 */
export function appraiseMachine(input: MachineInput): MachineAppraisal {
  const { previous, start, pieces, policy } = input
  const revision = policy?.revision ?? ''
  const kept = continues(input) && previous?.policy === revision ? previous : undefined
  const boot = bootStep(input, kept)
  const ima = policy?.ima === undefined ? undefined : imaOf(input, kept, policy.ima)
  const summary = boot.facts === undefined ? kept?.summary : bootSummary(boot.facts)
  const lastGood = lastGoodOf(input)
  const found = [...input.findings, ...pieceFindings(pieces), ...boot.findings, ...(ima?.findings ?? [])]
  const changes = summary === undefined || lastGood === undefined ? [] : bootChanges(lastGood, summary)
  const changed = changedRegisters(kept?.boot?.state, boot.state, input.quoted)
  // rules judge a register's events together, and those of before are not here any more
  const again = boot.facts === undefined && kept?.outcomes !== undefined && isJudged(changed.extended, policy)
  const more = again || ima?.more === true
  const judged = judge(input, boot, ima, found, kept, changed)
  const result = more
    ? appraisalResult([...input.findings, ...(again ? [againFinding()] : []), ...pending(ima)]) // a policy could say nothing yet
    : appraisalResult([...withChanges(judged.findings, changes), ...changeFindings(lastGood, summary, changes)])
  const good = more ? (kept?.good ?? true) : result.tier === 'affirming' && (kept?.good ?? true)
  return {
    state: {
      start: { resetCount: start.resetCount, restartCount: start.restartCount },
      policy: revision,
      ...(!again && { boot: { state: boot.state, findings: boot.findings } }),
      ...(!again && judged.outcomes !== undefined && { outcomes: judged.outcomes }),
      ...(input.explained.length > 0 && { explained: input.explained }),
      ...(ima?.ima !== undefined && { ima: ima.ima }),
      ...(ima?.ahead !== undefined && { imaAhead: ima.ahead }),
      ...(ima?.refuted === true && { imaRefuted: true as const }),
      ...(summary !== undefined && { summary }),
      ...(lastGood !== undefined && { lastGood }),
      good,
    },
    result,
    more,
    timeline: boot.timeline,
  }
}

/** From where each log of the machine is wanted, by what is kept of it. */
export function wantedMachineLogs(
  state: MachineState | undefined,
  policy: AppraisalPolicy | undefined,
): WantedMachineLogs {
  const kept = state?.policy === (policy?.revision ?? '') ? state : undefined
  const wanted: { source: MachineLogSource; offset: number }[] = (['firmware', 'systemd'] as const).map((source) => ({
    source,
    offset: kept?.boot?.state.wanted[source]?.offset ?? 0,
  }))
  if (policy?.ima !== undefined) {
    wanted.push({ source: 'ima', offset: (kept?.imaAhead ?? kept?.ima)?.replay.offset ?? 0 })
  }
  return wanted
}

/** The registers that a policy needs beside those that are always asked for. */
export function wantedRegisters(policy: AppraisalPolicy | undefined): {
  readonly [bank in HashAlgorithm]?: readonly number[]
} & { readonly everyBank?: readonly number[] } {
  if (policy === undefined) return {}
  const { pcrs, everyBank } = policyNeeds(policy)
  return { ...pcrs, everyBank }
}

function continues({ previous, start, continuity }: MachineInput): boolean {
  return (
    continuity === 'same-boot' &&
    previous?.start.resetCount === start.resetCount &&
    previous.start.restartCount === start.restartCount
  )
}

function lastGoodOf(input: MachineInput): MachineState['lastGood'] {
  const { previous } = input
  if (previous === undefined || continues(input)) return previous?.lastGood
  return previous.good && previous.summary !== undefined ? previous.summary : previous.lastGood
}

function bootStep({ quoted, pieces, launchPcr }: MachineInput, kept: MachineState | undefined): BootAppraisal {
  const firmware = pieces.find((p) => p.source === 'firmware' && p.offset === 0 && p.bytes.length > 0)
  const systemd = pieces.find((p) => p.source === 'systemd')
  return appraiseBoot({
    ...(firmware !== undefined && { firmware: firmware.bytes }),
    ...(systemd !== undefined && { systemd: { offset: systemd.offset, bytes: systemd.bytes } }),
    quoted,
    ...(kept?.boot !== undefined && { previous: kept.boot }),
    elsewhere: new Set([launchPcr, IMA_PCR]),
  })
}

function imaOf(
  { quoted, pieces }: MachineInput,
  kept: MachineState | undefined,
  policy: NonNullable<AppraisalPolicy['ima']>,
): ImaStep {
  const value = (bank: HashAlgorithm, pcr: number): Uint8Array | undefined =>
    quoted.find((v) => v.bank === bank && v.pcr === pcr)?.value
  const banks: BankRegisters = Object.fromEntries(quoted.filter((v) => v.pcr === IMA_PCR).map((v) => [v.bank, v.value]))
  return imaStep({
    previous: kept?.ima,
    ahead: kept?.imaAhead,
    refuted: kept?.imaRefuted ?? false,
    piece: pieces.find((p) => p.source === 'ima'),
    quoted: Object.keys(banks).length === 0 ? undefined : banks,
    pcr: value,
    policy,
  })
}

/** A firmware log that does not fit into one message is longer than any machine's. */
function pieceFindings(pieces: readonly MachineLogPiece[]): Finding[] {
  const cut = pieces.filter((p) => p.source !== 'ima' && p.more)
  return cut.map(({ source, bytes }) =>
    finding(
      source === 'firmware' ? 'boot.log' : 'boot.measure-log',
      'contraindicated',
      'hardware',
      `the ${source} log goes on after ${bytes.length} bytes, which is more than is read`,
    ),
  )
}

function judge(
  input: MachineInput,
  boot: BootAppraisal,
  ima: ImaStep | undefined,
  findings: readonly Finding[],
  kept: MachineState | undefined,
  changed: ChangedRegisters,
): Pick<MachineState, 'outcomes'> & { readonly findings: readonly Finding[] } {
  const { policy, node, launchLog, tpm, clock, quoted, now } = input
  if (policy === undefined) return { findings: findings.map(observed) }
  const facts: PolicyFacts = {
    ...{ node, findings, registers: quoted, launchLog, tpm, clock },
    boot: policyBoot(boot, kept, changed),
    ima: ima?.seen ?? { state: 'absent' },
  }
  return applyPolicy(policy, facts, now)
}

function policyBoot(boot: BootAppraisal, kept: MachineState | undefined, changed: ChangedRegisters): PolicyBoot {
  if (boot.facts !== undefined) return { state: 'read', facts: boot.facts, events: boot.timeline }
  if (kept?.outcomes === undefined) return { state: 'absent' }
  return { state: 'kept', outcomes: kept.outcomes, changed: changed.unexplained }
}

/** What of the list is still to come. What it has shown by then is for the policy to weigh, when that can say something. */
function pending(ima: ImaStep | undefined): readonly Finding[] {
  return ima?.findings.filter(({ tier }) => tier === 'none') ?? []
}

function againFinding(): Finding {
  const message = 'there are further events in registers that policy judges: the logs are wanted once more, whole'
  return finding('boot.log', 'none', 'hardware', message)
}

/** Without any policy the machine's own logs are told and count for nothing: nobody has said what is wanted of them. */
function observed(found: Finding): Finding {
  if (!/^(boot|ima)\./.test(found.rule)) return found
  return { ...found, policy: { rule: 'no-policy', mode: 'observe' } }
}

/** What is wrong is said together with what is other than at the last good boot. */
function withChanges(findings: readonly Finding[], changes: readonly string[]): Finding[] {
  if (changes.length === 0) return [...findings]
  const changed = changes.join('; ').slice(0, 512)
  return findings.map((f) => (f.tier === 'affirming' || !/^(boot|policy)\./.test(f.rule) ? f : { ...f, changed }))
}

function changeFindings(
  lastGood: MachineState['lastGood'],
  summary: MachineState['summary'],
  changes: readonly string[],
): Finding[] {
  if (lastGood === undefined || summary === undefined) return []
  const message =
    changes.length === 0 ? 'this boot is like the last good one' : `since the last good boot: ${changes.join('; ')}`
  return [
    {
      ...finding('boot.changes', 'affirming', 'configuration', message),
      policy: { rule: 'boot.changes', mode: 'observe' },
    },
  ]
}
