import type { BankValues } from '../../attestation/event-log/index.ts'
import type { Finding, PodLaunch } from '../../attestation/protocol/index.ts'

// Shared with stage0: types and constants only, nothing that is slow to load.

/** Name of the agent's socket in its run directory. */
export const AGENT_SOCKET_NAME = 'agent.sock'
export const DEFAULT_AGENT_SOCKET = `/run/holdfast/${AGENT_SOCKET_NAME}`

/** Body of POST /v1/launches. */
export type LaunchBody = PodLaunch & {
  /** Absolute path of the pod's directory where it is while the pod runs; the agent watches its lock. */
  readonly podDirectory: string
}

/** Where the launch record is, for whoever wants to look it up. */
export interface LaunchPosition {
  readonly resetCount: number
  readonly restartCount: number
  readonly recnum: number
  /** Bytes of the log up to and with the record. */
  readonly offset: number
  readonly pcr: number
  /** The register after the record. */
  readonly register: BankValues
}

/** 200 of POST /v1/launches: the launch is in the TPM and the pod may be started now. */
export interface LaunchAllowed {
  readonly decision: 'allowed'
  readonly mode: 'enforce' | 'audit' | 'off'
  /** The launch request as it was measured: RFC 8785 text, whose UTF-8 bytes the ticket's `request` is the SHA-256 of. */
  readonly request: string
  /** Always there in mode enforce. */
  readonly ticket?: string
  /** In mode audit: why the verifier would not have allowed it, or could not be asked. */
  readonly objection?: { readonly code: string; readonly reasons: readonly string[] }
  readonly log: LaunchPosition
}

/** 403 of POST /v1/launches: the verifier said no. */
export interface LaunchDenied {
  readonly decision: 'denied'
  readonly code: string
  readonly reasons: readonly string[]
}

/** Body of every other status from 400 on. */
export interface AgentFailure {
  readonly code: string
  readonly message: string
  /** What to do about it. */
  readonly hint: string
}

/** How the agent stands with its verifier. */
export type UplinkStatus =
  /** Admitted, proved, ready to ask for tickets. */
  | { readonly state: 'connected'; readonly since: string }
  /** A connection is being made or this node is proving itself. */
  | { readonly state: 'enrolling' }
  /** The verifier knows the node and an operator has not admitted it yet. */
  | { readonly state: 'pending'; readonly message: string }
  /** No connection; the next attempt is at `retryAt`. */
  | { readonly state: 'unreachable'; readonly code: string; readonly message: string; readonly retryAt: string }
  /** Mode off: nobody is asked. */
  | { readonly state: 'unused' }

/** 200 of GET /v1/status. Times are RFC 3339, UTC. */
export interface AgentStatus {
  readonly version: string
  readonly startedAt: string
  readonly mode: 'enforce' | 'audit' | 'off'
  readonly nodeId: string
  /** TPM name of the attestation key, hex. */
  readonly akName: string
  readonly tpm: { readonly manufacturer: string; readonly firmwareVersion: string }
  readonly pcr: number
  readonly banks: readonly string[]
  readonly verifier?: { readonly url: string; readonly id: string }
  readonly uplink: UplinkStatus
  /** The verifier's latest attestation result for this node. */
  readonly lastResult?: { readonly at: string; readonly tier: string; readonly findings: readonly Finding[] }
  readonly log: {
    readonly resetCount: number
    readonly restartCount: number
    readonly records: number
    readonly bytes: number
    readonly register: BankValues
    /** False after an error of TPM or disk, until log and register have been compared again. */
    readonly settled: boolean
    /** How often log and register did not add up in this boot: an alarm when above 0. */
    readonly breaks: number
  }
  readonly launches: {
    readonly allowed: number
    readonly denied: number
    readonly running: number
    readonly waiting: number
  }
}
