import { type AppraisalResult, appraisalResult, type Finding } from '../../../attestation/appraisal/index.ts'
import {
  type AppraisalPolicy,
  applyPolicy,
  type Mode,
  type PolicyFacts,
  parseAppraisalPolicy,
} from '../../../attestation/appraisal-policy/index.ts'

export const NOW = new Date('2026-11-23T12:00:00Z')

/** Head of a policy; rules go below it, two blanks deep. */
export const HEAD = 'version: 1\nname: test\nowner: platform@example.org\n'

/** A policy of these rules, each one line of flow YAML. */
export function policyOf(
  rules: Readonly<Record<string, string>>,
  head = '',
  files: Readonly<Record<string, Uint8Array>> = {},
): AppraisalPolicy {
  const lines = Object.entries(rules).map(([name, rule]) => `  ${name}: ${rule}\n`)
  const text = `${HEAD}${head}rules:${lines.length === 0 ? ' {}' : ''}\n${lines.join('')}`
  return parseAppraisalPolicy(text, 'test.yaml', reader(files))
}

export function reader(files: Readonly<Record<string, Uint8Array>>): (file: string) => Uint8Array {
  return (file) => {
    const bytes = files[file]
    if (bytes === undefined) throw new Error('no such file')
    return bytes
  }
}

/** What one rule, given as flow YAML without its mode, makes of the facts. */
export function ruleFinding(
  rule: string,
  facts: PolicyFacts,
  files: Readonly<Record<string, Uint8Array>> = {},
  mode: Mode = 'enforce',
): Finding {
  const policy = policyOf({ rule: `{mode: ${mode}, ${rule}}` }, 'unlisted: observe\n', files)
  const found = applyPolicy(policy, facts, NOW).findings.find((f) => f.rule === 'policy.rule')
  if (found === undefined) throw new TypeError('each rule gives a finding')
  return found
}

export function resultOf(policy: AppraisalPolicy, facts: PolicyFacts, now = NOW): AppraisalResult {
  return appraisalResult(applyPolicy(policy, facts, now).findings)
}
