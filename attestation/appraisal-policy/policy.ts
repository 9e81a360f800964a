import type { CompiledImaPolicy } from '../appraisal/ima/index.ts'
import type { HashAlgorithm } from '../crypto/index.ts'
import type { VectorClaim } from '../results/index.ts'
import type { Expiry } from './expiry.ts'
import type { PolicyFacts } from './facts.ts'
import type { Outcome } from './outcome.ts'
import type { PolicyText } from './schema.ts'
import type { RuleKind } from './schema-rules.ts'
import type { Selector } from './selector.ts'

/**
 * How strictly a rule applies. `observe` tells and changes nothing, `warn` makes a warning of what it does not like,
 * `enforce` refuses it.
 */
export type Mode = 'observe' | 'warn' | 'enforce'
/** Least strict first. */
export const MODES: readonly Mode[] = ['observe', 'warn', 'enforce']

export type EvidenceLog = 'firmware' | 'systemd' | 'ima' | 'launch-log'

/** What a rule reads. */
export interface Needs {
  readonly logs?: readonly EvidenceLog[]
  /** In the banks that the policy reads. */
  readonly pcrs?: readonly number[]
  /** In these banks, whatever else the policy reads. */
  readonly banks?: { readonly [bank in HashAlgorithm]?: readonly number[] }
  /** PCRs that are wanted in every bank the machine has. */
  readonly everyBank?: readonly number[]
}

/** A rule's kind with its settings, made ready once so that each quote is quick to judge. */
export interface Check {
  readonly claim: VectorClaim
  readonly needs: Needs
  /** True where it reads the logs of the boot, so that its outcome must be kept. */
  readonly ofBoot?: true
  /** Total: whatever the facts are. */
  readonly check: (facts: PolicyFacts) => Outcome
}

export interface PolicyException {
  readonly node?: string
  readonly selector?: Selector
  readonly reason: string
  readonly owner: string
  readonly expires: Expiry
}

export interface PolicyRule {
  readonly name: string
  readonly kind: RuleKind
  readonly mode: Mode
  /** The policy's owner where the rule names none. */
  readonly owner: string
  readonly description?: string
  readonly expires?: Expiry
  readonly exceptions: readonly PolicyException[]
  readonly check: Check
  /** Patterns of appraisal rules whose findings this rule decides about; empty for all kinds but `require`. */
  readonly requires: readonly string[]
}

/** A checked policy. It never changes; a reload makes a new one. */
export interface AppraisalPolicy {
  readonly name: string
  /** Name of its file, for messages. */
  readonly file: string
  readonly description?: string
  readonly owner: string
  /** Absent: for every node that no other policy is for. */
  readonly selector?: Selector
  readonly priority: number
  readonly attestation: { readonly intervalMs?: number; readonly jitterPercent?: number }
  readonly podsOnFailure: 'leave' | 'stop'
  readonly evidence: {
    readonly logs: readonly EvidenceLog[]
    readonly pcrs: { readonly [bank in HashAlgorithm]?: readonly number[] }
  }
  /** Mode of appraisal rules that no rule of the policy requires. */
  readonly unlisted: Mode
  readonly rules: readonly PolicyRule[]
  /**
   * What the `ima` rule allows: the list of IMA is judged with it while it is replayed. Absent where no rule is about
   * files.
   */
  readonly ima?: CompiledImaPolicy
  /** SHA-256 of `canonical`, hex: names exactly this content, referenced files included by their digests. */
  readonly revision: string
  /** RFC 8785 JSON, to be kept under its digest so that a result can be had again. */
  readonly canonical: Uint8Array
  /** As written, for comparing. */
  readonly text: PolicyText
}
