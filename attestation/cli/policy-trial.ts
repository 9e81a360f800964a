import { appraiseEvidence, decideContinuity, type Finding, finding, type LaunchLogState } from '../appraisal/index.ts'
import { type AppraisalPolicy, type Labels, noPolicyFinding } from '../appraisal-policy/index.ts'
import type { HashAlgorithm } from '../crypto/index.ts'
import { appraiseMachine, type MachineAppraisal, type MachineState } from '../machine/index.ts'
import { isBetterTier, type Tier } from '../results/index.ts'
import type { ClockInfo } from '../tpm2/index.ts'
import type { TriedQuote, Untried } from './policy-evidence.ts'

/**
 * Which policy judges a node with these labels. `unmeant`: there are policies, and none is for it. `undefined`: there
 * is none at all.
 */
export type PolicyFor = (labels: Labels) => AppraisalPolicy | 'unmeant' | undefined

/** How one rule's finding differs; `observe` where it is only observed, absent where there is none. */
export interface RuleChange {
  readonly rule: string
  readonly before?: Tier | 'observe'
  readonly after?: Tier | 'observe'
  readonly message: string
}

/** One piece of evidence under two policies. */
export interface TrialRow {
  readonly from: string
  readonly node: string
  readonly before: Tier
  readonly after: Tier
  readonly worse: boolean
  readonly changes: readonly RuleChange[]
}

export interface Trial {
  readonly rows: readonly TrialRow[]
  readonly untried: readonly Untried[]
}

/** Where an agent keeps its launch log unless it is told otherwise. */
const DEFAULT_LAUNCH_PCR = 15

/**
 * Judges evidence by two policies. What is no policy's business (who the node is, its history) is taken for good on
 * both sides.
 *
 * @param quotes of one node, oldest first
 */
export function tryPolicies(quotes: readonly TriedQuote[], before: PolicyFor, after: PolicyFor, now: Date): Trial {
  const rows: TrialRow[] = []
  const untried: Untried[] = []
  let clock: ClockInfo | undefined
  let states: { readonly before?: MachineState; readonly after?: MachineState } = {}
  for (const tried of quotes) {
    const { kind } = decideContinuity(clock, tried.quote.clockInfo)
    clock = tried.quote.clockInfo
    if (kind !== 'same-boot') states = {}
    if (states.after === undefined && !tried.pieces.some((p) => p.source === 'firmware' && p.offset === 0)) {
      untried.push({ from: tried.from, why: 'its logs came earlier, with evidence that is not in the store' })
      continue
    }
    const launchLog = launchLogOf(tried, now)
    const judge = (policyFor: PolicyFor, previous: MachineState | undefined): MachineAppraisal => {
      const policy = policyFor(tried.node.labels)
      return appraiseMachine({
        previous,
        start: tried.quote.clockInfo,
        continuity: kind,
        quoted: tried.quote.pcrs,
        pieces: tried.pieces,
        launchPcr: tried.launch?.pcr ?? DEFAULT_LAUNCH_PCR,
        explained: [],
        findings: [...takenForGood(launchLog), ...(policy === 'unmeant' ? [noPolicyFinding()] : [])],
        node: tried.node,
        launchLog,
        tpm: {
          ...(tried.manufacturer !== undefined && { manufacturer: tried.manufacturer }),
          firmwareVersion: tried.quote.firmwareVersion,
        },
        clock: { safe: tried.quote.clockInfo.safe },
        policy: policy === 'unmeant' ? undefined : policy,
        now,
      })
    }
    const [a, b] = [judge(before, states.before), judge(after, states.after)]
    states = { before: a.state, after: b.state }
    rows.push(row(tried, a, b))
  }
  return { rows, untried }
}

/** What a verifier found, or would have, and a policy cannot change. */
function takenForGood(launchLog: LaunchLogState | undefined): Finding[] {
  const good = 'taken for good: only the policy is tried'
  return [
    finding('enrolment.ek', 'affirming', 'hardware', good),
    finding('continuity.counters', 'affirming', 'instance-identity', good),
    finding('launch-log.replay', 'affirming', 'executables', good),
    launchLog === undefined || launchLog.agent.mode === 'enforce'
      ? finding('launch-log.mode', 'affirming', 'configuration', good)
      : finding('launch-log.mode', 'warning', 'configuration', `the agent runs in mode ${launchLog.agent.mode}`),
  ]
}

function launchLogOf({ launch, quote }: TriedQuote, now: Date): LaunchLogState | undefined {
  if (launch === undefined) return undefined
  const registers: { [bank in HashAlgorithm]?: Uint8Array } = {}
  for (const { bank, pcr, value } of quote.pcrs) if (pcr === launch.pcr) registers[bank] = value
  const evidence = { clock: quote.clockInfo, pcr: launch.pcr, registers, log: launch.log }
  return appraiseEvidence(undefined, evidence, { startValues: [], verifierKeys: new Set() }, now).state.boot?.log
}

function row({ from, node }: TriedQuote, a: MachineAppraisal, b: MachineAppraisal): TrialRow {
  const [before, after] = [a.result.tier, b.result.tier]
  return {
    from,
    node: node.id,
    before,
    after,
    worse: isBetterTier(before, after),
    changes: ruleChanges(a.result.findings, b.result.findings),
  }
}

function ruleChanges(before: readonly Finding[], after: readonly Finding[]): RuleChange[] {
  const [a, b] = [byRule(before), byRule(after)]
  const changes: RuleChange[] = []
  for (const rule of new Set([...a.keys(), ...b.keys()])) {
    const [x, y] = [a.get(rule), b.get(rule)]
    const [was, is] = [x && tierOf(x), y && tierOf(y)]
    // what was and is in order, or only looked at, changes nothing for anybody
    if (was === is || [was, is].every((tier) => tier === undefined || tier === 'affirming' || tier === 'observe'))
      continue
    changes.push({
      rule,
      ...(was !== undefined && { before: was }),
      ...(is !== undefined && { after: is }),
      message: (y ?? x)?.message ?? '',
    })
  }
  return changes
}

/** The worst finding of each rule. */
function byRule(findings: readonly Finding[]): Map<string, Finding> {
  const by = new Map<string, Finding>()
  for (const found of findings) {
    const known = by.get(found.rule)
    if (known === undefined || isBetterTier(known.tier, found.tier)) by.set(found.rule, found)
  }
  return by
}

function tierOf({ tier, policy }: Finding): Tier | 'observe' {
  return policy?.mode === 'observe' ? 'observe' : tier
}
