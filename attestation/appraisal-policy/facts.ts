import type { BootFacts } from '../appraisal/boot/index.ts'
import type { ImaState } from '../appraisal/ima/index.ts'
import type { Finding, LaunchLogState } from '../appraisal/index.ts'
import type { Register, TimelineEvent } from '../event-log/index.ts'
import type { PcrValue } from '../tpm2/index.ts'
import type { KeptOutcomes } from './outcome.ts'
import type { Labels } from './selector.ts'

/** What a policy is applied to: what the verifier knows of one node after one quote, proved where rules rely on it. */
export interface PolicyFacts {
  readonly node: { readonly id: string; readonly labels: Labels }
  /**
   * Everything that appraisal found; also what it found with an earlier quote of the same boot and what still stands.
   */
  readonly findings: readonly Finding[]
  /** Registers that the quote proves. */
  readonly registers: readonly PcrValue[]
  readonly boot: PolicyBoot
  readonly ima: PolicyIma
  readonly launchLog: LaunchLogState | undefined
  readonly tpm: {
    /** Of the EK certificate, `IFX` or `id:49465800`; absent where an operator listed the EK. */
    readonly manufacturer?: string
    /** As the quote says it, of an AK in the endorsement hierarchy or calibrated. */
    readonly firmwareVersion: bigint
  }
  readonly clock: {
    /** As TPMS_CLOCK_INFO says it. */
    readonly safe: boolean
    /** Since the quote before, of the same TPM start; absent at the first one. */
    readonly sinceLast?: { readonly tpmMs: number; readonly wallMs: number }
  }
}

/** What is known of how the machine booted. */
export type PolicyBoot =
  /**
   * The firmware log came with this quote. `events` of a register are those of all logs but IMA's; read only where a
   * rule is about events.
   */
  | { readonly state: 'read'; readonly facts: BootFacts; readonly events: (of: Register) => Iterable<TimelineEvent> }
  /**
   * It came with an earlier quote of this TPM start: what rules made of it then still holds, but for those that read
   * one of `changed`, the registers that are no more as they were.
   */
  | { readonly state: 'kept'; readonly outcomes: KeptOutcomes; readonly changed: ReadonlySet<number> }
  | { readonly state: 'absent' }

/** What is known of the files that the machine used. */
export type PolicyIma =
  /** Judged with `AppraisalPolicy.ima` of the very policy that is applied. */
  | { readonly state: 'proved'; readonly list: ImaState }
  | { readonly state: 'refuted'; readonly why: string }
  | { readonly state: 'absent' }
