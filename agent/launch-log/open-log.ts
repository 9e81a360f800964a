import { concatBytes } from '../../attestation/base/index.ts'
import type { HashAlgorithm } from '../../attestation/crypto/index.ts'
import {
  type AgentRecord,
  type BankRegisters,
  type BankValues,
  type BreakRecord,
  banksOf,
  extendWithContent,
  fromBankValues,
  type LaunchLogContent,
  toBankValues,
} from '../../attestation/event-log/index.ts'
import type { PcrIndex } from '../../attestation/tpm2/index.ts'
import type { Tpm } from '../ports.ts'
import { LaunchLogError } from './errors.ts'
import { decideRecovery, type ReplayedContent, replayContents } from './recovery.ts'
import type { LogStorage, StoredLog } from './storage.ts'
import { makeRecord, readStoredRecords, type StoredRecord } from './stored-records.ts'
import { LogSummary } from './summary.ts'

/** A TPM that is reset more often than this while the log is opened is not going to settle. */
const MAX_OPEN_ATTEMPTS = 3

/** One start of the TPM; each has its own log. */
export interface TpmStart {
  readonly resetCount: number
  readonly restartCount: number
}

export interface LaunchLogOptions {
  readonly storage: LogStorage
  readonly tpm: Pick<Tpm, 'readClock' | 'readPcrs' | 'extend'>
  readonly pcr: PcrIndex
  /** All allocated banks. */
  readonly banks: readonly HashAlgorithm[]
  /** The record of an agent's start, given what the register held. */
  readonly agentRecord: (found: BankValues) => AgentRecord
  /**
   * Asked before a log is begun, which extends the register; throws where this agent must not. Counters that went on may be those of a TPM that was
   * cleared: what its next agent finds in the register must be what the verifier has seen there.
   */
  readonly mayBegin?: () => Promise<void>
  /** Told of each break when it has been recorded: an alarm. */
  readonly onBreak: (record: BreakRecord) => void
}

/** Where a record ended up. */
export interface AppendedRecord {
  readonly recnum: number
  /** Offset in the log of the byte after it. */
  readonly end: number
  /** The register after it. */
  readonly after: BankRegisters
}

/** A log whose records are all in the register. */
export interface OpenLog {
  readonly start: TpmStart
  readonly file: StoredLog
  readonly summary: LogSummary
  size: number
  registers: BankRegisters
}

/** Name of the log file of a TPM start. */
export function logFileName({ resetCount, restartCount }: TpmStart): string {
  return `${resetCount}-${restartCount}.cel`
}

/**
 * Opens the log of the TPM's current start and brings log and register together. A log without records gets its `agent` record.
 *
 * @returns the log, and whether it was begun just now
 * @throws LaunchLogError, or the TPM's own errors
 */
export async function openLog(options: LaunchLogOptions): Promise<{ log: OpenLog; begun: boolean }> {
  for (let attempt = 0; attempt < MAX_OPEN_ATTEMPTS; attempt++) {
    const start = await readStart(options.tpm)
    const file = await options.storage.open(logFileName(start))
    try {
      const bytes = await file.read(0, await file.size())
      const stored = readStoredRecords(bytes, await file.readMark(), options.pcr, options.banks)
      const found = await readRegisters(options)
      if (!sameStart(start, await readStart(options.tpm))) {
        await file.close()
        continue
      }
      if (stored.size < bytes.length) await file.truncate(stored.size) // half a record: it was never extended
      const log = { start, file, summary: new LogSummary(), size: stored.size, registers: found }
      if (stored.records.length === 0) {
        await options.mayBegin?.()
        await appendRecords(options, log, [options.agentRecord(toBankValues(found))])
        return { log, begun: true }
      }
      await settle(options, log, stored.records, stored.certain)
      return { log, begun: false }
    } catch (err) {
      await file.close()
      throw err
    }
  }
  throw new LaunchLogError(
    'LAUNCH_LOG_TPM_RESTARTING',
    `the TPM was reset ${MAX_OPEN_ATTEMPTS} times while its log was being opened`,
  )
}

/** Extends what the register lacks, or records that the two cannot be brought together. */
async function settle(
  options: LaunchLogOptions,
  log: OpenLog,
  records: readonly StoredRecord[],
  certain: number,
): Promise<void> {
  const found = log.registers
  const replayed = records.map((r, i) => toReplayed(r, i, options.banks))
  const before = replayed[0]?.restartsAt ?? found // the first record is an `agent` record, which states it
  const decision = decideRecovery(replayContents(before, replayed.slice(0, certain)), replayed.slice(certain), found)
  for (const r of records) log.summary.add(r.content)
  if (decision.kind === 'break') {
    const record: BreakRecord = {
      record: 'break',
      reason: 'the register is no replay of any prefix of the log: somebody else extended it, or the log was changed',
      expected: toBankValues(decision.expected),
      found: toBankValues(found),
    }
    await appendRecords(options, log, [record])
    options.onBreak(record)
    return
  }
  log.registers = replayContents(before, replayed)
  if (certain < records.length) await log.file.sync() // an agent that was killed may not have come so far
  for (const r of records.slice(certain + decision.extended)) await options.tpm.extend(options.pcr, r.digests)
  await log.file.writeMark(log.size)
}

function toReplayed(r: StoredRecord, position: number, banks: readonly HashAlgorithm[]): ReplayedContent {
  const { content, bytes } = r
  if (position === 0 && content.record !== 'agent') {
    throw new LaunchLogError(
      'LAUNCH_LOG_CORRUPT',
      `the log begins with a record '${content.record}' instead of 'agent'`,
    )
  }
  if (position > 0 && content.record !== 'break') return { bytes }
  const found = 'found' in content ? content.found : {}
  if (banksOf(found).length !== banks.length || banks.some((bank) => found[bank] === undefined)) {
    throw new LaunchLogError(
      'LAUNCH_LOG_BANKS',
      `record ${position} was written for the banks ${banksOf(found).join(', ')}, the TPM has ${banks.join(', ')} allocated`,
    )
  }
  return { bytes, restartsAt: fromBankValues(found) }
}

/**
 * Writes and syncs all records, then extends them one by one. After an error the log must be opened again: what is on disk and what the
 * TPM has is not known.
 */
export async function appendRecords(
  options: LaunchLogOptions,
  log: OpenLog,
  contents: readonly LaunchLogContent[],
): Promise<AppendedRecord[]> {
  const { pcr, banks, tpm } = options
  const made: ReturnType<typeof makeRecord>[] = []
  for (const content of contents) {
    const offset = made.at(-1)?.record.end ?? log.size
    made.push(makeRecord(log.summary.records + made.length, offset, pcr, banks, content))
  }
  try {
    await log.file.write(log.size, concatBytes(...made.map((m) => m.encoded)))
    await log.file.sync()
  } catch (err) {
    // Without this the records would be extended at the next start, which is sound too: so its own failure changes nothing.
    await log.file.truncate(log.size).catch(() => undefined)
    throw err
  }
  const appended: AppendedRecord[] = []
  for (const { record } of made) {
    await tpm.extend(pcr, record.digests)
    log.registers = extendWithContent(log.registers, record.bytes)
    log.size = record.end
    appended.push({ recnum: log.summary.records, end: log.size, after: log.registers })
    log.summary.add(record.content)
  }
  await log.file.writeMark(log.size)
  return appended
}

/** The register as the TPM holds it, all banks from one moment. */
export async function readRegisters(options: Pick<LaunchLogOptions, 'tpm' | 'pcr' | 'banks'>): Promise<BankRegisters> {
  const { tpm, pcr, banks } = options
  const values = await tpm.readPcrs(banks.map((bank) => ({ bank, pcrs: [pcr] })))
  const registers: { [bank in HashAlgorithm]?: Uint8Array } = {}
  for (const bank of banks) {
    const found = values.find((v) => v.bank === bank && v.pcr === pcr)
    if (found === undefined) {
      throw new LaunchLogError('LAUNCH_LOG_BANKS', `the TPM gave no value of PCR ${pcr} in its ${bank} bank`)
    }
    registers[bank] = found.value
  }
  return registers
}

async function readStart(tpm: Pick<Tpm, 'readClock'>): Promise<TpmStart> {
  const { resetCount, restartCount } = await tpm.readClock()
  return { resetCount, restartCount }
}

function sameStart(a: TpmStart, b: TpmStart): boolean {
  return a.resetCount === b.resetCount && a.restartCount === b.restartCount
}
