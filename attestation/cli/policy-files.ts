import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import {
  type AppraisalPolicy,
  type AppraisalPolicySet,
  appraisalPolicySet,
  parseAppraisalPolicy,
} from '../appraisal-policy/index.ts'
import { fromUtf8, messageOf, UsageError } from '../base/index.ts'

const MAX_POLICY_BYTES = 4 << 20

/** What a path names. */
export type PolicyPath = { readonly launch: boolean; readonly appraisal: readonly string[] }

/** @returns whether there are launch policies (*.cedar), and the files of appraisal policies (*.yaml) */
export function policyPath(path: string): PolicyPath {
  try {
    if (!statSync(path).isDirectory()) return { launch: false, appraisal: [path] }
    const names = readdirSync(path).sort()
    return {
      launch: names.some((name) => name.endsWith('.cedar')),
      appraisal: names.filter((name) => /\.ya?ml$/.test(name)).map((name) => join(path, name)),
    }
  } catch (err) {
    throw new UsageError(`${path}: ${messageOf(err)}`)
  }
}

/** @throws UsageError, AppraisalPolicyError */
export function readPolicyFile(file: string): AppraisalPolicy {
  let text: string
  try {
    if (statSync(file).size > MAX_POLICY_BYTES) throw new RangeError(`more than ${MAX_POLICY_BYTES} bytes`)
    text = fromUtf8(readFileSync(file))
  } catch (err) {
    throw new UsageError(`policy ${file}: ${messageOf(err)}`)
  }
  return parseAppraisalPolicy(text, file, (name) => {
    if (basename(name) !== name) throw new RangeError('only files beside the policy can be named')
    return new Uint8Array(readFileSync(join(dirname(file), name)))
  })
}

/** One policy, or all of a directory. @throws UsageError, AppraisalPolicyError */
export function readPolicies(path: string): { readonly one?: AppraisalPolicy; readonly set: AppraisalPolicySet } {
  const { appraisal } = policyPath(path)
  const policies = appraisal.map(readPolicyFile)
  if (policies.length === 0) throw new UsageError(`${path}: there is no appraisal policy (*.yaml) in it`)
  const [one] = policies
  if (one !== undefined && appraisal[0] === path) return { one, set: { selecting: [], fallback: one } }
  return { set: appraisalPolicySet(policies) }
}
