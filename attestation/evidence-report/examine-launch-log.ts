import { appraiseEvidence, type Finding, finding, type LaunchLogState } from '../appraisal/index.ts'
import { equalBytes } from '../base/index.ts'
import type { HashAlgorithm } from '../crypto/index.ts'
import {
  type BankRegisters,
  banksOf,
  celEvents,
  decodeCelAny,
  EventLogError,
  fromBankValues,
  type Register,
  type RegisterProof,
  type TimelineEvent,
  timeline,
  zeroRegisters,
} from '../event-log/index.ts'
import type { EvidenceFile } from '../evidence-file/index.ts'
import { explainedStartValues } from '../machine/index.ts'
import type { VerifiedQuote } from '../tpm2/index.ts'

export type LaunchLogBytes = NonNullable<EvidenceFile['logs']['launch']>

/** The launch log of one TPM start, replayed to a quote. */
export interface ExaminedLaunchLog {
  readonly pcr: number
  readonly register: Register
  /** Of its records. */
  readonly proof: RegisterProof
  /** Of what systemd had measured into the same register before. */
  readonly before: RegisterProof
  readonly records: number
  readonly proven: number
  /** What its proved records say; undefined where none is proved. */
  readonly state: LaunchLogState | undefined
  readonly findings: readonly Finding[]
}

/** Replays it and holds the rules of launch logs, but for those that need what only a verifier keeps. Total. */
export function examineLaunchLog(
  log: LaunchLogBytes,
  systemd: Uint8Array | undefined,
  quote: VerifiedQuote | undefined,
  now: Date,
): ExaminedLaunchLog {
  const { pcr } = log
  const register = { kind: 'pcr', index: pcr } as const
  const registers = quotedBanks(quote, pcr)
  const unproved = { pcr, register, records: countRecords(log.bytes), proven: 0, state: undefined }
  if (quote === undefined || banksOf(registers).length === 0) {
    const message = `PCR ${pcr} is not in the quote, so nothing of the launch log is proved`
    const proof = { state: 'not-quoted' } as const
    return {
      ...unproved,
      proof,
      before: proof,
      findings: [finding('launch-log.replay', 'none', 'executables', message)],
    }
  }
  const pieces = systemd === undefined ? [] : [{ source: 'systemd' as const, offset: 0, bytes: systemd, more: false }]
  const explained = explainedStartValues(undefined, pieces, quote.clockInfo, { pcr, registers })
  const evidence = { clock: quote.clockInfo, pcr, registers, log: { ...log, offset: 0, more: false } }
  const policy = { startValues: explained.map(fromBankValues), verifierKeys: new Set<string>() }
  const appraisal = appraiseEvidence(undefined, evidence, policy, now)
  const findings = appraisal.findings.filter((f) => !f.rule.startsWith('continuity.')).map(withoutVerifier)
  const state = appraisal.proof?.log
  if (state === undefined) {
    return { ...unproved, proof: { state: 'refuted' }, before: { state: 'refuted' }, findings }
  }
  const proven = appraisal.provenRecords
  return {
    ...{ pcr, register, state, findings, proven },
    records: proven + appraisal.unprovenRecords,
    proof: { state: 'replayed', proven },
    before: { state: 'replayed', proven: recordsBefore(state.start, policy.startValues) },
  }
}

/** What only a verifier's memory and its keys could answer: told, and held against nobody. */
function withoutVerifier(found: Finding): Finding {
  const policy = { rule: 'offline', mode: 'observe' } as const
  if (found.rule === 'launch-log.ticket' && found.tier === 'warning') return { ...found, policy }
  if (found.rule !== 'launch-log.verifier-keys' || found.tier === 'affirming') return found
  return { ...found, message: 'whose keys the agent obeys was not asked', policy }
}

function quotedBanks(quote: VerifiedQuote | undefined, pcr: number): BankRegisters {
  const registers: { [bank in HashAlgorithm]?: Uint8Array } = {}
  for (const value of quote?.pcrs ?? []) if (value.pcr === pcr) registers[value.bank] = value.value
  return registers
}

/** How many records of systemd lead to where the launch log begins. */
function recordsBefore(start: BankRegisters, values: readonly BankRegisters[]): number {
  const same = (other: BankRegisters): boolean =>
    banksOf(start).every((bank) => equalBytes(start[bank] as Uint8Array, other[bank] ?? new Uint8Array(0))) // banksOf gives those with a value
  return same(zeroRegisters(banksOf(start))) ? 0 : values.findIndex(same) + 1
}

function countRecords(bytes: Uint8Array): number {
  try {
    return decodeCelAny(bytes).records.length
  } catch (err) {
    if (err instanceof EventLogError) return 0 // the finding says what is wrong
    throw err
  }
}

/** Its records as far as they can be read. */
export function* launchLogEvents(bytes: Uint8Array, { proof }: ExaminedLaunchLog): Generator<TimelineEvent> {
  try {
    yield* timeline([{ source: 'launch-log', events: celEvents(decodeCelAny(bytes).records) }], () => proof)
  } catch (err) {
    if (!(err instanceof EventLogError)) throw err
  }
}
