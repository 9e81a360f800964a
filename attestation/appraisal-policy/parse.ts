import { canonicalJson, toHex, utf8 } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import { type Complain, parseSettings } from '../settings/index.ts'
import { AppraisalPolicyError } from './errors.ts'
import { type Expiry, expiryOf } from './expiry.ts'
import { compileKind, kindOf, kindProblems } from './kinds.ts'
import type { AppraisalPolicy, PolicyException, PolicyRule } from './policy.ts'
import type { ReferencedFiles } from './referenced-files.ts'
import { PolicySchema, type PolicyText, type RuleText } from './schema.ts'
import { selectorOf } from './selector.ts'

/** Reference values by the thousand belong into files beside the policy. */
const MAX_POLICY_CHARS = 1 << 20

/**
 * Reads one policy, with everything that is wrong in it told at once.
 *
 * @param text YAML, see config/appraisal/default.yaml
 * @param name of its file, for messages
 * @param readReferenced gives a file beside the policy whole; throws where it cannot be read
 * @throws AppraisalPolicyError APPRAISAL_POLICY_INVALID
 */
export function parseAppraisalPolicy(
  text: string,
  name: string,
  readReferenced: (file: string) => Uint8Array,
): AppraisalPolicy {
  const files = new Map<string, Uint8Array>()
  const written = parseSettings(
    {
      schema: PolicySchema,
      together: (policy, complain) => checkTogether(policy, readReferenced, files, complain),
      error: (mistakes) => new AppraisalPolicyError('APPRAISAL_POLICY_INVALID', mistakes),
      maxChars: MAX_POLICY_CHARS,
    },
    text,
    name,
  )
  return compile(written, name, files)
}

function compile(text: PolicyText, file: string, files: ReferencedFiles): AppraisalPolicy {
  const canonical = utf8(canonicalJson({ v: 1, policy: text }))
  const { intervalSeconds, jitterPercent } = text.attestation ?? {}
  const rules = Object.entries(text.rules).map(([name, rule]) => compileRule(name, rule, text.owner, files))
  const ima = rules.find((rule) => rule.ima !== undefined)?.ima
  return {
    name: text.name,
    file,
    ...(text.description !== undefined && { description: text.description }),
    owner: text.owner,
    ...(text.nodes !== undefined && { selector: selectorOf(text.nodes) }),
    priority: text.priority ?? 0,
    attestation: {
      ...(intervalSeconds !== undefined && { intervalMs: intervalSeconds * 1000 }),
      ...(jitterPercent !== undefined && { jitterPercent }),
    },
    podsOnFailure: text.podsOnFailure ?? 'leave',
    evidence: { logs: text.evidence?.logs ?? [], pcrs: text.evidence?.pcrs ?? {} },
    unlisted: text.unlisted ?? 'enforce',
    rules,
    ...(ima !== undefined && { ima }),
    revision: toHex(digest('sha256', canonical)),
    canonical,
    text,
  }
}

function compileRule(
  name: string,
  rule: RuleText,
  owner: string,
  files: ReferencedFiles,
): PolicyRule & Pick<AppraisalPolicy, 'ima'> {
  const expires = rule.expires === undefined ? undefined : knownExpiry(rule.expires)
  const kind = kindOf(rule)
  if (kind === undefined) throw new TypeError('only rules that were checked are compiled')
  return {
    name,
    kind,
    mode: rule.mode,
    owner: rule.owner ?? owner,
    ...(rule.description !== undefined && { description: rule.description }),
    ...(expires !== undefined && { expires }),
    exceptions: (rule.exceptions ?? []).map(compileException),
    ...compileKind(rule, files),
    requires: rule.require ?? [],
  }
}

function compileException(text: NonNullable<RuleText['exceptions']>[number]): PolicyException {
  return {
    ...(text.node !== undefined && { node: text.node }),
    ...(text.nodes !== undefined && { selector: selectorOf(text.nodes) }),
    reason: text.reason,
    owner: text.owner,
    expires: knownExpiry(text.expires),
  }
}

function knownExpiry(text: string): Expiry {
  const expiry = expiryOf(text)
  if (expiry === undefined) throw new TypeError('only dates that were checked are compiled')
  return expiry
}

/** What the schema cannot say. */
function checkTogether(
  policy: PolicyText,
  readReferenced: (file: string) => Uint8Array,
  files: Map<string, Uint8Array>,
  complain: Complain,
): void {
  if (policy.priority !== undefined && policy.nodes === undefined) {
    const why = "is for every node that no other policy is for, so 'priority' has no effect; remove it, or set 'nodes'"
    complain(['priority'], `a policy without 'nodes' ${why}`)
  }
  const [, second] = Object.entries(policy.rules).filter(([, rule]) => rule.ima !== undefined)
  if (second !== undefined) {
    complain(['rules', second[0], 'ima'], 'a list of IMA is judged once; put all that is about files into one rule')
  }
  for (const [name, rule] of Object.entries(policy.rules)) {
    const at = ['rules', name]
    if (rule.expires !== undefined) checkDate(rule.expires, [...at, 'expires'], complain)
    for (const [i, exception] of (rule.exceptions ?? []).entries()) {
      const place = [...at, 'exceptions', String(i)]
      checkDate(exception.expires, [...place, 'expires'], complain)
      if ((exception.node === undefined) === (exception.nodes === undefined)) {
        complain(place, "an exception is for one 'node' or for 'nodes' with some labels: set one of them")
      }
    }
    for (const { path, message } of kindProblems(rule, readReferenced, files)) complain([...at, ...path], message)
  }
}

function checkDate(text: string, path: readonly string[], complain: Complain): void {
  if (expiryOf(text) === undefined) complain(path, `the calendar has no ${text}`)
}
