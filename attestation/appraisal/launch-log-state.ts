import type { AgentRecord, BankRegisters, ImageRecord, Stage1Record } from '../event-log/index.ts'
import type { Finding } from './finding.ts'

/** A pod between its `pod` record and its end. */
export interface OpenPod {
  readonly request: string
  readonly manifest: string
  readonly stage1: string
  readonly images: readonly string[]
  /** What the PID 1 of a virtual machine reads, by its digest. */
  readonly guest?: string
  readonly launched: boolean
  /** Launched, and no ticket was even claimed: its agent did not enforce then. */
  readonly unticketed: boolean
}

/**
 * What the proven records of one TPM start say, as far as later records and launches depend on it. `violations` stay
 * until the next TPM start or an operator's act: the record that broke a rule is proved only once, but it stays in the
 * register.
 */
export interface LaunchLogState {
  /** The last `agent` record. */
  readonly agent: AgentRecord
  /** Last record of each stage1 and image, by imageKey(). */
  readonly stage1s: ReadonlyMap<string, Stage1Record>
  readonly images: ReadonlyMap<string, ImageRecord>
  /** By UUID. */
  readonly pods: ReadonlyMap<string, OpenPod>
  readonly violations: readonly Finding[]
  /** The register as the first `agent` record found it. */
  readonly start: BankRegisters
  /** The register went on from the TPM start before (TPM Resume), so pods of that start may still end in this log. */
  readonly resumed: boolean
}

/** Key of a measured image: its id, and the name it was measured under, which policies decide by. */
export function imageKey(image: { readonly id: string; readonly name: string }): string {
  return `${image.id} ${image.name}`
}
