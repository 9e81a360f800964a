import { canonicalJson, type JsonValue } from '../base/index.ts'
import { expiryOf } from './expiry.ts'
import { type AppraisalPolicy, MODES, type Mode } from './policy.ts'
import type { PolicyText, RuleText } from './schema.ts'
import { RULE_KIND_NAMES } from './schema-rules.ts'
import { type Effect, settingChanges } from './setting-changes.ts'

/** One difference between two policies, and what it does to nodes. */
export interface PolicyChange {
  /** Rule that changes; absent for the policy as a whole. */
  readonly rule?: string
  readonly change: 'added' | 'removed' | 'changed'
  /** `tighter`: fewer nodes pass. `looser`: more do. `other`: neither is certain. */
  readonly effect: Effect
  /** For people: which setting, from what, to what. */
  readonly what: string
}

/** What is other in `after`, by its meaning: a rule that only moved, or a comment, is no change. */
export function diffPolicies(before: AppraisalPolicy, after: AppraisalPolicy): PolicyChange[] {
  const [a, b] = [before.text, after.text]
  const names = [...new Set([...Object.keys(a.rules), ...Object.keys(b.rules)])]
  return [...wholeChanges(a, b), ...names.flatMap((name) => ruleChanges(name, a.rules[name], b.rules[name]))]
}

function wholeChanges(a: PolicyText, b: PolicyText): PolicyChange[] {
  const changes: PolicyChange[] = []
  const changed = (what: string, from: unknown, to: unknown, effect: Effect): void => {
    if (same(from, to)) return
    changes.push({ change: 'changed', effect, what: `${what} from ${shown(from)} to ${shown(to)}` })
  }
  changed('the name', a.name, b.name, 'other')
  changed('the nodes meant', a.nodes ?? 'all others', b.nodes ?? 'all others', 'other')
  changed('the priority', a.priority ?? 0, b.priority ?? 0, 'other')
  changed(
    'what rules not listed do',
    a.unlisted ?? 'enforce',
    b.unlisted ?? 'enforce',
    modeEffect(a.unlisted ?? 'enforce', b.unlisted ?? 'enforce'),
  )
  changed(
    'pods of a node that fails',
    a.podsOnFailure ?? 'leave',
    b.podsOnFailure ?? 'leave',
    b.podsOnFailure === 'stop' ? 'tighter' : 'looser',
  )
  const [x, y] = [a.attestation?.intervalSeconds, b.attestation?.intervalSeconds]
  changed('the interval in seconds', x, y, x === undefined || y === undefined ? 'other' : y < x ? 'tighter' : 'looser')
  changed('the jitter in percent', a.attestation?.jitterPercent, b.attestation?.jitterPercent, 'other')
  changed('the evidence wanted', a.evidence, b.evidence, 'other')
  return changes
}

function ruleChanges(rule: string, a: RuleText | undefined, b: RuleText | undefined): PolicyChange[] {
  if (a === undefined || b === undefined) {
    const there = a ?? b
    if (there === undefined) return []
    const kind = RULE_KIND_NAMES.find((name) => there[name] !== undefined)
    const effect = there.mode === 'observe' ? 'other' : a === undefined ? 'tighter' : 'looser'
    return [{ rule, change: a === undefined ? 'added' : 'removed', effect, what: `${kind}, mode ${there.mode}` }]
  }
  const changes: PolicyChange[] = []
  if (a.mode !== b.mode) {
    changes.push({
      rule,
      change: 'changed',
      effect: modeEffect(a.mode, b.mode),
      what: `mode from ${a.mode} to ${b.mode}`,
    })
  }
  if (a.owner !== b.owner) {
    changes.push({
      rule,
      change: 'changed',
      effect: 'other',
      what: `owner from ${shown(a.owner)} to ${shown(b.owner)}`,
    })
  }
  if (a.expires !== b.expires) {
    const effect = b.mode === 'enforce' ? 'other' : laterIsLooser(a.expires, b.expires)
    changes.push({ rule, change: 'changed', effect, what: `expires from ${shown(a.expires)} to ${shown(b.expires)}` })
  }
  changes.push(...exceptionChanges(rule, a.exceptions ?? [], b.exceptions ?? []))
  for (const found of settingChanges(kindsOf(a), kindsOf(b))) {
    // a rule that only observes refuses nobody, however strict it is
    changes.push({ rule, change: 'changed', effect: b.mode === 'observe' ? 'other' : found.effect, what: found.what })
  }
  return changes
}

type ExceptionText = NonNullable<RuleText['exceptions']>[number]

function exceptionChanges(rule: string, a: readonly ExceptionText[], b: readonly ExceptionText[]): PolicyChange[] {
  const key = ({ node, nodes }: ExceptionText): string => canonicalJson({ node, nodes })
  const text = (e: ExceptionText): string =>
    `exception of ${e.node ?? shown(e.nodes)} until ${e.expires}, by ${e.owner}: ${e.reason}`
  const before = new Map(a.map((e) => [key(e), e]))
  const after = new Map(b.map((e) => [key(e), e]))
  const changes: PolicyChange[] = []
  for (const [k, e] of after) {
    const old = before.get(k)
    if (old === undefined) changes.push({ rule, change: 'added', effect: 'looser', what: text(e) })
    else if (!same(old, e)) {
      changes.push({ rule, change: 'changed', effect: laterIsLooser(old.expires, e.expires), what: text(e) })
    }
  }
  for (const [k, e] of before)
    if (!after.has(k)) changes.push({ rule, change: 'removed', effect: 'tighter', what: text(e) })
  return changes
}

/** Of a stage or an exception: the longer it lasts, the longer something is let pass. */
function laterIsLooser(from: string | undefined, to: string | undefined): Effect {
  const end = (text: string | undefined): number =>
    text === undefined ? Number.POSITIVE_INFINITY : (expiryOf(text)?.endMs ?? 0)
  const [a, b] = [end(from), end(to)]
  return a === b ? 'other' : b > a ? 'looser' : 'tighter'
}

function modeEffect(from: Mode, to: Mode): Effect {
  return MODES.indexOf(to) > MODES.indexOf(from) ? 'tighter' : 'looser'
}

function kindsOf(rule: RuleText): { readonly [kind: string]: unknown } {
  return Object.fromEntries(
    RULE_KIND_NAMES.filter((kind) => rule[kind] !== undefined).map((kind) => [kind, rule[kind]]),
  )
}

function same(a: unknown, b: unknown): boolean {
  return a === b || (a !== undefined && b !== undefined && canonicalJson(a) === canonicalJson(b))
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  return typeof value === 'string' ? value : canonicalJson(value as JsonValue) // a part of a policy, which is JSON
}
