import { AppraisalPolicyError } from './errors.ts'
import type { AppraisalPolicy } from './policy.ts'
import { commonNode, type Labels, labelsText, selects } from './selector.ts'

/** Policies that together leave no doubt which of them a node is judged by. */
export interface AppraisalPolicySet {
  /** Those with `nodes`, the ones that come first first. */
  readonly selecting: readonly AppraisalPolicy[]
  /** The one without `nodes`. */
  readonly fallback: AppraisalPolicy | undefined
}

/**
 * Puts policies together. Of those whose `nodes` mean a node the one with the highest priority judges it; where none
 * does, the one without `nodes`. That no two of equal priority can mean the same node is proved here, for all labels
 * there could be.
 *
 * @throws AppraisalPolicyError APPRAISAL_POLICY_AMBIGUOUS with every doubt, one `file: message` a line
 */
export function appraisalPolicySet(policies: readonly AppraisalPolicy[]): AppraisalPolicySet {
  const doubts: string[] = []
  const selecting = policies.filter((p) => p.selector !== undefined).sort((a, b) => b.priority - a.priority)
  const [fallback, ...others] = policies.filter((p) => p.selector === undefined)
  for (const other of others) {
    doubts.push(`${other.file}: has no 'nodes', as ${fallback?.file}; one policy only can be for all other nodes`)
  }
  const names = new Map<string, AppraisalPolicy>()
  for (const policy of policies) {
    const same = names.get(policy.name)
    if (same !== undefined) doubts.push(`${policy.file}: is named '${policy.name}', as ${same.file}`)
    names.set(policy.name, policy)
  }
  for (const [i, a] of selecting.entries()) {
    for (const b of selecting.slice(i + 1)) {
      if (a.priority !== b.priority || a.selector === undefined || b.selector === undefined) continue
      const node = commonNode(a.selector, b.selector)
      if (node === undefined) continue
      const both = `a node with ${labelsText(node)} is meant by ${a.file} too, also with priority ${a.priority}`
      doubts.push(`${b.file}: ${both}; give the one that should judge it a higher priority`)
    }
  }
  if (doubts.length > 0) throw new AppraisalPolicyError('APPRAISAL_POLICY_AMBIGUOUS', doubts.join('\n'))
  return { selecting, fallback }
}

/**
 * @returns the policy that judges a node with these labels; undefined where none does, and then nothing speaks for the
 * node
 */
export function selectPolicy(set: AppraisalPolicySet, labels: Labels): AppraisalPolicy | undefined {
  return set.selecting.find((p) => p.selector !== undefined && selects(p.selector, labels)) ?? set.fallback
}
