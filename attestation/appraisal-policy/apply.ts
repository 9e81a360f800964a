import { type Finding, finding } from '../appraisal/index.ts'
import { AR4SI, TIER_VALUE, type Tier, tierOfValue, type VectorClaim } from '../results/index.ts'
import { isOfRule } from './checks/require.ts'
import { hasExpired } from './expiry.ts'
import type { PolicyFacts } from './facts.ts'
import type { KeptOutcomes, Outcome } from './outcome.ts'
import { type AppraisalPolicy, MODES, type Mode, type PolicyException, type PolicyRule } from './policy.ts'
import { selects } from './selector.ts'

/**
 * Findings of these rules are a policy's to weigh. All others (who the node is, its TPM's history, the launch log) hold
 * whatever a policy says; it can ask more of them, never less.
 */
const WEIGHED = ['boot.', 'ima.', 'quote.', 'systemd.', 'reference-values.'] as const

/**
 * Judges a node by a policy.
 *
 * A rule of mode `enforce` that is not satisfied is contraindicated, one of mode `warn` a warning; one of mode
 * `observe` is told with tier none and counts for nothing. A finding that a rule `require`s follows that rule's mode,
 * all others of the boot and of files the policy's `unlisted`.
 *
 * @param facts all that appraisal found, with every finding that stands
 * @param now wall clock, for what expires
 */
export function applyPolicy(policy: AppraisalPolicy, facts: PolicyFacts, now: Date): PolicyAppraisal {
  const kept: { [rule: string]: Outcome } = {}
  const stands = policy.rules.map((rule) => standOf(rule, facts, now))
  const own = stands.map((stand) => {
    const outcome = outcomeOf(stand.rule, policy, facts)
    if (stand.rule.check.ofBoot === true) kept[stand.rule.name] = outcome
    return ruleFinding(stand, unlessChanged(stand.rule, outcome, facts))
  })
  return {
    findings: [...facts.findings.map((f) => weigh(f, stands, policy)), ...own],
    outcomes: { revision: policy.revision, outcomes: kept },
  }
}

/** What a policy makes of a node. */
export interface PolicyAppraisal {
  /**
   * The findings given, as the policy weighs them, and one `policy.<name>` for each rule: give them all to
   * appraisalResult().
   */
  readonly findings: readonly Finding[]
  /** To be kept while the boot lasts. */
  readonly outcomes: KeptOutcomes
}

function outcomeOf({ name, check }: PolicyRule, policy: AppraisalPolicy, facts: PolicyFacts): Outcome {
  if (check.ofBoot !== true || facts.boot.state !== 'kept') return check.check(facts)
  const { revision, outcomes } = facts.boot.outcomes
  const kept = Object.hasOwn(outcomes, name) ? outcomes[name] : undefined
  if (kept !== undefined && revision === policy.revision) return kept
  return {
    satisfied: false,
    expected: 'a boot that this policy has judged',
    seen: 'its logs came before the policy did',
  }
}

/**
 * What a rule made of a register says nothing of what was extended into it since; that is not kept, for another log may
 * tell of it.
 */
function unlessChanged({ check }: PolicyRule, outcome: Outcome, { boot }: PolicyFacts): Outcome {
  if (check.ofBoot !== true || boot.state !== 'kept') return outcome
  const changed = check.needs.pcrs?.filter((pcr) => boot.changed.has(pcr)) ?? []
  if (changed.length === 0) return outcome
  const seen = `PCR ${changed.join(', ')} is not as it was when the log was judged`
  return { satisfied: false, expected: outcome.expected, seen }
}

/** For a node that no policy is for: nothing that boots there is known to be wanted. */
export function noPolicyFinding(): Finding {
  const message = "no appraisal policy is for this node's labels; add one without 'nodes' for all others"
  return finding('policy.selection', 'none', 'configuration', message)
}

/** How a rule applies to this node at this time. */
interface Stand {
  readonly rule: PolicyRule
  readonly mode: Mode
  /** What expired, or who excused the node. */
  readonly note: string
}

/**
 * Nothing becomes laxer by time passing: a stage (`observe`, `warn`) that has ended enforces, an exception that has
 * ended excuses nobody, and a rule that enforces goes on beyond its date.
 */
function standOf(rule: PolicyRule, { node }: PolicyFacts, now: Date): Stand {
  const meant = rule.exceptions.filter((e) => means(e, node))
  const valid = meant.find((e) => !hasExpired(e.expires, now))
  if (valid !== undefined) {
    const { reason, owner, expires } = valid
    return { rule, mode: 'observe', note: `excused by ${owner} until ${expires.text}: ${reason}` }
  }
  const notes = meant.map((e) => `the exception by ${e.owner} ended ${e.expires.text}`)
  if (!hasExpired(rule.expires, now)) return { rule, mode: rule.mode, note: notes.join(', ') }
  const ended = rule.mode === 'enforce' ? `to be reviewed since` : `enforced now, since its stage (${rule.mode}) ended`
  return { rule, mode: 'enforce', note: [...notes, `${ended} ${rule.expires?.text}, by ${rule.owner}`].join(', ') }
}

function means(exception: PolicyException, node: PolicyFacts['node']): boolean {
  if (exception.selector !== undefined) return selects(exception.selector, node.labels)
  return exception.node === node.id
}

function ruleFinding({ rule, mode, note }: Stand, outcome: Outcome): Finding {
  const { expected, seen, event, satisfied, tolerated = false } = outcome
  const { claim } = rule.check
  const failed = mode === 'warn' || tolerated ? 'warning' : 'contraindicated'
  const tier: Tier = mode === 'observe' ? 'none' : satisfied ? 'affirming' : failed
  const verdict = satisfied ? 'as it should be' : 'not as it should be'
  const how = mode === 'observe' ? 'observed only: ' : ''
  const message = `${how}${verdict}: ${seen}${note === '' ? '' : ` (${note})`}`
  return finding(`policy.${rule.name}`, tier, claim, message, {
    value: ar4siValue(tier, claim),
    expected,
    seen,
    ...(event !== undefined && { event }),
    policy: { rule: rule.name, mode },
  })
}

/**
 * The finding as the strictest of the rules that require it says; one that no rule does, as `unlisted` says. Of IMA something is found only because a
 * rule asks for its list: where that rule observes or warns, so do these findings.
 */
function weigh(found: Finding, stands: readonly Stand[], policy: AppraisalPolicy): Finding {
  const requiring = requiringRules(found.rule, policy)
  if (requiring === undefined) return found
  let strictest: Stand | undefined
  for (const i of requiring) {
    const stand = stands[i]
    if (stand === undefined) continue
    if (strictest === undefined || isLaxer(strictest.mode, stand.mode)) strictest = stand
  }
  if (strictest !== undefined) return weighed(found, strictest.mode, strictest.rule.name, true)
  const ima = found.rule.startsWith('ima.') ? stands.find(({ rule }) => rule.kind === 'ima') : undefined
  if (ima !== undefined && isLaxer(ima.mode, policy.unlisted)) return weighed(found, ima.mode, ima.rule.name, false)
  return policy.unlisted === 'enforce' ? found : weighed(found, policy.unlisted, 'unlisted', false)
}

function isLaxer(a: Mode, b: Mode): boolean {
  return MODES.indexOf(a) < MODES.indexOf(b)
}

/**
 * Positions of the rules that require an appraisal rule; undefined where a policy has no say. Found once: there are few
 * ids, and many quotes.
 */
function requiringRules(id: string, policy: AppraisalPolicy): readonly number[] | undefined {
  if (!WEIGHED.some((prefix) => id.startsWith(prefix))) return undefined
  let known = requiring.get(policy)
  if (known === undefined) {
    known = new Map()
    requiring.set(policy, known)
  }
  let rules = known.get(id)
  if (rules === undefined) {
    rules = policy.rules.flatMap((rule, i) => (rule.requires.some((wanted) => isOfRule(id, wanted)) ? [i] : []))
    known.set(id, rules)
  }
  return rules
}
const requiring = new WeakMap<AppraisalPolicy, Map<string, readonly number[]>>()

/**
 * @param required whether less than affirming is too little; else the finding keeps its own tier where that is better
 */
function weighed(found: Finding, mode: Mode, rule: string, required: boolean): Finding {
  const policy = { rule, mode }
  if (mode === 'observe') {
    const message = found.tier === 'affirming' ? found.message : `observed only, else ${found.tier}: ${found.message}`
    return finding(found.rule, 'none', found.claim, message, { ...details(found), value: TIER_VALUE.none, policy })
  }
  if (found.tier === 'affirming') return { ...found, policy }
  if (mode === 'enforce' && required && found.tier !== 'contraindicated')
    return retiered(found, 'contraindicated', policy)
  if (mode === 'warn' && (found.tier === 'contraindicated' || required)) return retiered(found, 'warning', policy)
  return { ...found, policy }
}

function retiered(found: Finding, tier: Tier, policy: NonNullable<Finding['policy']>): Finding {
  const { value } = found
  const kept = value !== undefined && tierOfValue(value) === tier ? value : ar4siValue(tier, found.claim)
  return finding(found.rule, tier, found.claim, found.message, { ...details(found), value: kept, policy })
}

function details({ expected, seen, event, changed }: Finding) {
  return {
    ...(expected !== undefined && { expected }),
    ...(seen !== undefined && { seen }),
    ...(event !== undefined && { event }),
    ...(changed !== undefined && { changed }),
  }
}

/**
 * The most fitting AR4SI value: something that is not among the reference values is unrecognised, and more is not known
 * of it.
 */
function ar4siValue(tier: Tier, claim: VectorClaim): number {
  if (tier === 'warning' && claim === 'executables') return AR4SI.executables.unrecognised
  return TIER_VALUE[tier]
}
