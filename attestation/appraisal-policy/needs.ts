import type { HashAlgorithm } from '../crypto/index.ts'
import type { AppraisalPolicy, EvidenceLog } from './policy.ts'

/** What must be asked of a node so that a policy can judge it. */
export interface PolicyNeeds {
  readonly logs: ReadonlySet<EvidenceLog>
  /** Ascending. */
  readonly pcrs: { readonly [bank in HashAlgorithm]?: readonly number[] }
  /** PCRs that are wanted in every bank that the machine has. */
  readonly everyBank: readonly number[]
}

/** What the policy says it wants, and what its rules read. */
export function policyNeeds(policy: AppraisalPolicy): PolicyNeeds {
  const logs = new Set<EvidenceLog>(policy.evidence.logs)
  const pcrs = new Map<HashAlgorithm, Set<number>>()
  const everyBank = new Set<number>()
  const add = (bank: HashAlgorithm, list: readonly number[] = []): void => {
    if (list.length > 0) pcrs.set(bank, new Set([...(pcrs.get(bank) ?? []), ...list]))
  }
  const stated = BANKS.filter((bank) => policy.evidence.pcrs[bank] !== undefined)
  for (const bank of stated) add(bank, policy.evidence.pcrs[bank])
  for (const { check } of policy.rules) {
    for (const log of check.needs.logs ?? []) logs.add(log)
    for (const bank of stated.length === 0 ? (['sha256'] as const) : stated) add(bank, check.needs.pcrs)
    for (const bank of BANKS) add(bank, check.needs.banks?.[bank])
    for (const pcr of check.needs.everyBank ?? []) everyBank.add(pcr)
  }
  return {
    logs,
    pcrs: Object.fromEntries([...pcrs].map(([bank, set]) => [bank, ascending(set)])),
    everyBank: ascending(everyBank),
  }
}

/** A policy never relies on SHA-1. */
const BANKS = ['sha256', 'sha384', 'sha512'] as const

function ascending(set: ReadonlySet<number>): number[] {
  return [...set].sort((a, b) => a - b)
}
