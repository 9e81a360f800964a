import { checkBootAggregate } from '../appraisal/ima/index.ts'
import { type Finding, finding } from '../appraisal/index.ts'
import { toHex } from '../base/index.ts'
import type { HashAlgorithm } from '../crypto/index.ts'
import {
  type BankRegisters,
  banksOf,
  EventLogError,
  IMA_PCR,
  type ImaEntry,
  type ImaExtendRule,
  type ImaReplay,
  imaEntries,
  imaEvents,
  imaMeasurement,
  imaReplayStart,
  type Register,
  type RegisterProof,
  replayIma,
  type TimelineEvent,
  timeline,
} from '../event-log/index.ts'
import type { PcrValue } from '../tpm2/index.ts'

/** An IMA list replayed to a quote; numbers only, however long it is. */
export interface ExaminedIma {
  readonly pcr: number
  readonly banks: readonly HashAlgorithm[]
  readonly entries: number
  /** The first so many are proved. */
  readonly proven: number
  readonly violations: number
  /** Entries of other registers. */
  readonly elsewhere: number
  /** `sha1`, `sha256`: the hash of the list's own template digests. */
  readonly templateHash: string
  readonly proof: RegisterProof
  readonly rules: { readonly [bank in HashAlgorithm]?: ImaExtendRule }
  readonly findings: readonly Finding[]
}

/** Replays a binary list. Total: one that is broken is refuted, and says why. */
export function examineIma(bytes: Uint8Array, quoted: readonly PcrValue[]): ExaminedIma {
  const counted = countEntries(bytes)
  const pcr = counted.pcr ?? IMA_PCR
  const registers: BankRegisters = Object.fromEntries(quoted.filter((v) => v.pcr === pcr).map((v) => [v.bank, v.value]))
  const banks = banksOf(registers)
  const about = { pcr, banks, entries: counted.entries, templateHash: counted.templateHash }
  if (banks.length === 0) {
    const message = `PCR ${pcr} is not in the quote, so nothing that IMA measured is proved`
    return unproved(about, { state: 'not-quoted' }, finding('ima.replay', 'none', 'executables', message))
  }
  let replay: ImaReplay
  try {
    replay = replayIma(imaReplayStart(banks, pcr), bytes, registers)
  } catch (err) {
    if (!(err instanceof EventLogError)) throw err
    return refuted(about, `${err.code}: ${err.message}`)
  }
  const { entries: proven, violations, elsewhere } = replay.state
  if (!replay.proved) {
    const where = replay.disagreeing.length === 0 ? '' : ` in bank ${replay.disagreeing.join(', ')}`
    return refuted(about, `no prefix of the list of ${counted.entries} entries gives PCR ${pcr}${where}`)
  }
  const behind = Math.max(0, counted.entries - proven)
  const more = [
    violations === 0 ? '' : `, ${violations} of them violations`,
    behind === 0 ? '' : `; ${behind} more came after the quote`,
  ].join('')
  return {
    ...about,
    entries: Math.max(counted.entries, proven),
    proven,
    violations,
    elsewhere,
    proof: { state: 'replayed', proven: proven - elsewhere },
    rules: usedRules(replay.state.banks),
    findings: [
      finding('ima.replay', 'affirming', 'executables', `${proven} entries replay to PCR ${pcr}${more}`),
      ...unreadableFinding(counted.problem),
      aggregateFinding(bytes, quoted),
    ],
  }
}

type About = Pick<ExaminedIma, 'pcr' | 'banks' | 'entries' | 'templateHash'>

function refuted(about: About, why: string): ExaminedIma {
  return unproved(about, { state: 'refuted' }, finding('ima.replay', 'contraindicated', 'executables', why))
}

function unproved(about: About, proof: RegisterProof, found: Finding): ExaminedIma {
  return { ...about, proven: 0, violations: 0, elsewhere: 0, proof, rules: {}, findings: [found] }
}

interface Counted {
  readonly pcr?: number
  readonly entries: number
  readonly templateHash: string
  /** Why it was not counted to its end. */
  readonly problem?: EventLogError
}

/** Up to the first entry that is none. */
function countEntries(bytes: Uint8Array): Counted {
  let pcr: number | undefined
  let problem: EventLogError | undefined
  let entries = 0
  let templateHash = ''
  try {
    for (const entry of imaEntries(bytes)) {
      pcr ??= entry.pcr
      templateHash ||= entry.templateHash
      entries++
    }
  } catch (err) {
    if (!(err instanceof EventLogError)) throw err
    problem = err
  }
  return { ...(pcr !== undefined && { pcr }), entries, templateHash, ...(problem !== undefined && { problem }) }
}

/** A template's name is under no digest: an entry can replay, and say nothing that anybody understands. */
function unreadableFinding(problem: EventLogError | undefined): Finding[] {
  if (problem === undefined) return []
  return [finding('ima.entries', 'contraindicated', 'executables', `${problem.message} (${problem.code})`)]
}

/** After a proof each bank has one rule left. */
function usedRules(banks: ImaReplay['state']['banks']): ExaminedIma['rules'] {
  const rules = Object.entries(banks).flatMap(([bank, values]) => {
    const [rule] = Object.keys(values)
    return rule === undefined ? [] : [[bank, rule]]
  })
  return Object.fromEntries(rules)
}

function aggregateFinding(bytes: Uint8Array, quoted: readonly PcrValue[]): Finding {
  const rule = 'ima.boot-aggregate'
  const first = firstEntry(bytes)
  const { name, digest } = imaMeasurement(first?.fields ?? [])
  const aggregate =
    name !== 'boot_aggregate' || digest === undefined
      ? undefined
      : { algorithm: digest.algorithm, digest: toHex(digest.bytes), old: first?.template === 'ima' }
  const check = checkBootAggregate(
    aggregate,
    (bank, pcr) => quoted.find((v) => v.bank === bank && v.pcr === pcr)?.value,
  )
  switch (check.result) {
    case 'match':
      return finding(rule, 'affirming', 'executables', `boot_aggregate is the hash of PCR 0 to ${check.last}`)
    case 'mismatch': {
      const message = 'boot_aggregate is not of these registers: one was extended later, or the list is of another boot'
      return finding(rule, 'warning', 'executables', message, {
        expected: check.expected.join(' or '),
        seen: aggregate?.digest ?? '',
      })
    }
    case 'no-tpm':
      return finding(rule, 'warning', 'executables', 'boot_aggregate is zero: the kernel found no TPM when IMA started')
    case 'unknown':
      return finding(rule, 'none', 'executables', `boot_aggregate cannot be compared: ${check.why}`)
  }
}

function firstEntry(bytes: Uint8Array): ImaEntry | undefined {
  try {
    const [first] = imaEntries(bytes)
    return first
  } catch (err) {
    if (err instanceof EventLogError) return undefined
    throw err
  }
}

/** Its entries one by one, as far as they can be read. */
export function* examinedImaEvents(bytes: Uint8Array, ima: ExaminedIma, only?: Register): Generator<TimelineEvent> {
  const { pcr, proof } = ima
  const banks = ima.banks.length === 0 ? (['sha256'] as const) : ima.banks
  const log = { source: 'ima' as const, events: imaEvents(bytes, { banks, rules: ima.rules }) }
  const proofOf = (register: Register): RegisterProof => (register.index === pcr ? proof : { state: 'refuted' })
  try {
    yield* timeline([log], proofOf, only)
  } catch (err) {
    if (!(err instanceof EventLogError)) throw err // the finding says where
  }
}
