import type { HashAlgorithm } from '../../crypto/index.ts'

/** Version of the record formats below, in every content as `holdfast`. */
export const LAUNCH_LOG_VERSION = 1

/** A register of every allocated bank, lowercase hex. */
export type BankValues = { readonly [bank in HashAlgorithm]?: string }

/** Each agent start. */
export interface AgentRecord {
  readonly record: 'agent'
  readonly version: string
  readonly programSha256: string
  readonly configSha256: string
  readonly mode: 'enforce' | 'audit' | 'off'
  /** The register as it was found before this record was extended. */
  readonly found: BankValues
  /** SHA-256 of the SPKI of each ticket key that this agent trusts. */
  readonly verifierKeys: readonly string[]
}

/** First use of a stage1 in a boot, and when anything here changes. */
export interface Stage1Record {
  readonly record: 'stage1'
  readonly flavour: string
  readonly name: string
  readonly id: string
  readonly tree: string
  readonly verification: string
  readonly interfaceVersion: number
  readonly hostPrograms: readonly HostFile[]
  /** Of a flavour that is a virtual machine: what it runs on and with, whatever the pod. */
  readonly machine?: MachineRecord
}

/** A file of the host that takes part in launches, by its content. */
export interface HostFile {
  readonly path: string
  readonly sha256: string
}

/** Digests are SHA-256. */
export interface MachineRecord {
  readonly accelerator: 'kvm' | 'tcg'
  readonly kernel: string
  readonly initramfs: string
  readonly commandLine: string
  /** What the machine monitor loads into the guest. */
  readonly firmware: readonly HostFile[]
}

/** First use of an image in a boot, and when anything here changes. */
export interface ImageRecord {
  readonly record: 'image'
  readonly name: string
  readonly id: string
  readonly manifest?: string
  readonly tree: string
  readonly verification: string
  readonly signers: readonly { readonly kind?: string; readonly key: string; readonly checkedAt: string }[]
  /** The image policy that let it in when it was fetched, by its content, and the scope of it that was used. */
  readonly policy?: { readonly sha256: string; readonly scope: string }
  readonly relaxed: readonly string[]
}

/** Each launch, before the verifier is asked. `request` is the SHA-256 of the launch request's bytes. */
export interface PodRecord {
  readonly record: 'pod'
  readonly uuid: string
  readonly request: string
  readonly manifest: string
  readonly stage1: string
  readonly images: readonly string[]
  /** SHA-256 of the archive that a virtual machine's PID 1 reads. */
  readonly guest?: string
}

/**
 * The decision to start. `ticket` is the ticket's random id, not its digest: the ticket names the register after this
 * record.
 */
export interface LaunchRecord {
  readonly record: 'launch'
  readonly uuid: string
  readonly request: string
  /** Absent when the mode is audit or off and no verifier allowed the launch. */
  readonly ticket?: string
  /** SHA-256 of the SPKI of the key that signed the ticket. */
  readonly verifierKey?: string
  readonly policy?: string
  readonly mode: 'enforce' | 'audit' | 'off'
}

/**
 * A program is run inside a running app. Who asked is the kernel's word of the process that spoke to the agent; of the
 * arguments there is a keyed digest, as they may hold secrets.
 */
export interface EnterRecord {
  readonly record: 'enter'
  readonly uuid: string
  /** SHA-256 of the enter request's bytes. */
  readonly request: string
  readonly app: string
  readonly program: string
  readonly argv: string
  readonly by: { readonly uid: number; readonly gid: number }
  /** As those of a launch. */
  readonly ticket?: string
  readonly verifierKey?: string
  readonly policy?: string
  readonly mode: 'enforce' | 'audit' | 'off'
}

/** The decision, or the failure to get one, that kept a pod from starting, or somebody from entering one. */
export interface DeniedRecord {
  readonly record: 'denied'
  readonly uuid: string
  readonly request: string
  readonly code: string
  /** Absent for a launch. */
  readonly action?: 'enter'
}

/** Each end of a pod. `statuses` is empty when the pod's supervisor died before it could write them. */
export interface ExitedRecord {
  readonly record: 'exited'
  readonly uuid: string
  readonly statuses: { readonly [app: string]: number }
  readonly reason: 'exited' | 'killed' | 'not-started'
}

/**
 * Log and register did not add up at recovery. `found` is what the register held, `expected` what the log replays to.
 */
export interface BreakRecord {
  readonly record: 'break'
  readonly reason: string
  readonly expected: BankValues
  readonly found: BankValues
}

export type LaunchLogContent =
  | AgentRecord
  | Stage1Record
  | ImageRecord
  | PodRecord
  | LaunchRecord
  | EnterRecord
  | DeniedRecord
  | ExitedRecord
  | BreakRecord
