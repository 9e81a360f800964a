import { type AppraisalPolicy, type AppraisalPolicySet, appraisalPolicySet } from '../appraisal-policy/index.ts'
import { UsageError } from '../base/index.ts'
import { appraisalPolicyFiles, readAppraisalPolicy } from '../verifier/index.ts'

/** One policy, or all of a directory. @throws UsageError, VerifierError, AppraisalPolicyError */
export function readPolicies(path: string): { readonly one?: AppraisalPolicy; readonly set: AppraisalPolicySet } {
  const files = appraisalPolicyFiles(path)
  const policies = files.map(readAppraisalPolicy)
  const [one] = policies
  if (one === undefined) throw new UsageError(`${path}: there is no appraisal policy (*.yaml) in it`)
  return files[0] === path ? { one, set: { selecting: [], fallback: one } } : { set: appraisalPolicySet(policies) }
}
