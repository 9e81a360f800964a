import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { BootState } from '../appraisal/boot/index.ts'
import type { ImaState } from '../appraisal/ima/index.ts'
import type { Finding } from '../appraisal/index.ts'
import type { KeptOutcomes } from '../appraisal-policy/index.ts'
import { canonicalJson } from '../base/index.ts'
import type { BankValues } from '../event-log/index.ts'
import type { ClockInfo } from '../tpm2/index.ts'
import type { BootSummary } from './changes.ts'

/** A TPM start by its counters. */
export type MachineStart = Pick<ClockInfo, 'resetCount' | 'restartCount'>

/**
 * What is kept of a machine's own logs while one TPM start lasts, so that each part of a log is sent and judged once. Plain data, bounded by the
 * parts it is made of. Of one policy: another one has to see the logs again.
 */
export interface MachineState {
  readonly start: MachineStart
  /** Of the policy that judged; empty where none did. */
  readonly policy: string
  readonly boot?: { readonly state: BootState; readonly findings: readonly Finding[] }
  readonly outcomes?: KeptOutcomes
  /** What systemd's log makes of the launch log's register before its first record. */
  readonly explained?: readonly BankValues[]
  readonly ima?: ImaState
  /** Entries of IMA's list behind the proof, while a long list comes in pieces. Never stored. */
  readonly imaAhead?: ImaState
  /** IMA's list was asked for from its beginning, because it did not go on where it did, and has not been proved since. */
  readonly imaRefuted?: true
  readonly summary?: BootSummary
  /** Of the last boot that was affirming throughout. */
  readonly lastGood?: BootSummary
  /** Whether this boot has been affirming up to now. */
  readonly good: boolean
}

const Count = Type.Integer({ minimum: 0 })
const Summary = Type.Record(Type.String(), Type.String())
const Stored = Type.Object({
  v: Type.Literal(1),
  start: Type.Object({ resetCount: Count, restartCount: Count }),
  policy: Type.String(),
  boot: Type.Optional(
    Type.Object({ state: Type.Object({ version: Type.Literal(1) }), findings: Type.Array(Type.Object({})) }),
  ),
  outcomes: Type.Optional(Type.Object({ revision: Type.String(), outcomes: Type.Object({}) })),
  explained: Type.Optional(Type.Array(Type.Record(Type.String(), Type.String()))),
  ima: Type.Optional(
    Type.Object({ replay: Type.Object({}), counts: Type.Object({}), failures: Type.Array(Type.Object({})) }),
  ),
  imaRefuted: Type.Optional(Type.Literal(true)),
  summary: Type.Optional(Summary),
  lastGood: Type.Optional(Summary),
  good: Type.Boolean(),
})

/** The state of a machine whose logs are all wanted again. What is compared with its next boot stays. */
export function withoutLogs({ start, summary, lastGood, good }: MachineState): MachineState {
  return {
    start,
    policy: '',
    ...(summary !== undefined && { summary }),
    ...(lastGood !== undefined && { lastGood }),
    good,
  }
}

/** The state as text for the store; what came ahead of any proof is left out. */
export function serialiseMachineState(state: MachineState): string {
  const { imaAhead: _, ...kept } = state
  return canonicalJson({ v: 1, ...kept })
}

/**
 * The other direction. What cannot be read is no state: the logs are sent and judged again, and nothing was proved by it.
 */
export function parseMachineState(text: string): MachineState | undefined {
  let stored: unknown
  try {
    stored = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Value.Check(Stored, stored)) return undefined
  const { v: _, ...state } = stored as Static<typeof Stored>
  return state as unknown as MachineState // its outline was checked; the parts are what this verifier wrote itself
}
