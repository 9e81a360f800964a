import { existsSync, readdirSync } from 'node:fs'
import { type AppraisalPolicy, appraisalPolicySet, diffPolicies } from '../appraisal-policy/index.ts'
import { formatTable, UsageError } from '../base/index.ts'
import { loadLaunchPolicies } from '../launch-policy/index.ts'
import { appraisalPolicyFiles, readAppraisalPolicy } from '../verifier/index.ts'

interface CheckOptions {
  readonly format: 'table' | 'json'
}

export function checkPolicies(path: string, { format }: CheckOptions): void {
  const files = existsSync(path) ? appraisalPolicyFiles(path) : []
  if (files.length === 0) {
    checkLaunch(path, format)
    return
  }
  const policies = files.map(readAppraisalPolicy)
  appraisalPolicySet(policies)
  if (format === 'json') process.stdout.write(`${JSON.stringify(policies.map(toJson), null, 2)}\n`)
  else for (const policy of policies) print(policy)
  if (files[0] !== path && readdirSync(path).some((name) => name.endsWith('.cedar'))) checkLaunch(path, format)
}

function checkLaunch(directory: string, format: 'table' | 'json'): void {
  const set = loadLaunchPolicies(directory)
  if (format === 'json') {
    const { revision, policies } = set
    process.stdout.write(`${JSON.stringify({ revision, policies: policies.map(({ text: _, ...p }) => p) }, null, 2)}\n`)
    return
  }
  const rows = set.policies.map((p) => [p.effect, p.id, `${p.file}:${p.line}`, p.description ?? ''])
  process.stdout.write(formatTable(['EFFECT', 'POLICY', 'WHERE', 'DESCRIPTION'], rows))
  process.stdout.write(`revision ${set.revision}\n`)
  if (!set.policies.some((p) => p.effect === 'permit')) {
    process.stderr.write('holdfast: note: nothing here permits anything, so no pod would start\n')
  }
}

function print(policy: AppraisalPolicy): void {
  const { name, file, revision, rules, unlisted, podsOnFailure } = policy
  const whom =
    policy.selector === undefined
      ? 'all nodes that no other policy is for'
      : `nodes by label, priority ${policy.priority}`
  process.stdout.write(
    `${file}: ${name}, for ${whom}; other rules ${unlisted}, pods of a node that fails: ${podsOnFailure}\n`,
  )
  const rows = rules.map((rule) => [
    rule.mode,
    rule.name,
    rule.kind,
    rule.owner,
    rule.expires?.text ?? '-',
    String(rule.exceptions.length),
    rule.description ?? '',
  ])
  process.stdout.write(formatTable(['MODE', 'RULE', 'KIND', 'OWNER', 'EXPIRES', 'EXCEPTIONS', 'DESCRIPTION'], rows))
  process.stdout.write(`revision ${revision}\n\n`)
}

/** Members that are always there; what is not set is null. */
function toJson(policy: AppraisalPolicy) {
  const { name, file, revision, owner, priority, unlisted, podsOnFailure, rules } = policy
  return {
    ...{ name, file, revision, owner, priority, unlisted, podsOnFailure },
    description: policy.description ?? null,
    nodes: policy.text.nodes ?? null,
    rules: rules.map((rule) => ({
      ...{ name: rule.name, kind: rule.kind, mode: rule.mode, owner: rule.owner },
      description: rule.description ?? null,
      expires: rule.expires === undefined ? null : new Date(rule.expires.endMs).toISOString(),
      exceptions: rule.exceptions.length,
    })),
  }
}

export interface DiffOptions extends CheckOptions {
  readonly refuseLooser?: boolean
}

export function diffPolicyFiles(before: string, after: string, { format, refuseLooser }: DiffOptions): void {
  for (const path of [before, after]) {
    if (appraisalPolicyFiles(path)[0] !== path) throw new UsageError(`${path} is a directory; name one policy`)
  }
  const changes = diffPolicies(readAppraisalPolicy(before), readAppraisalPolicy(after))
  if (format === 'json') {
    const rows = changes.map(({ rule, ...change }) => ({ rule: rule ?? null, ...change }))
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`)
  } else if (changes.length === 0) process.stdout.write('both mean the same\n')
  else {
    const rows = changes.map(({ rule, change, effect, what }) => [effect, rule ?? '(policy)', change, what])
    process.stdout.write(formatTable(['EFFECT', 'RULE', 'CHANGE', 'WHAT'], rows))
  }
  if (refuseLooser && changes.some(({ effect }) => effect === 'looser')) process.exitCode = 1
}
