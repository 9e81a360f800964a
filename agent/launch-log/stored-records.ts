import { messageOf } from '../../attestation/base/index.ts'
import type { HashAlgorithm } from '../../attestation/crypto/index.ts'
import {
  CEL_CONTENT,
  checkContentDigests,
  decodeCelRecord,
  encodeCelRecord,
  encodeLaunchLogContent,
  type LaunchLogContent,
  launchLogRecord,
  parseLaunchLogContent,
} from '../../attestation/event-log/index.ts'
import { type Digest, makeDigest, type PcrIndex } from '../../attestation/tpm2/index.ts'
import { LaunchLogError } from './errors.ts'

/** A record as it is in the file. */
export interface StoredRecord {
  readonly content: LaunchLogContent
  /** The content's bytes, over which all digests are taken. */
  readonly bytes: Uint8Array
  /** What the TPM extends for it, one digest for each allocated bank. */
  readonly digests: readonly Digest[]
  /** Offset in the file of the byte after it. */
  readonly end: number
}

/** What a log file holds. */
export interface StoredRecords {
  readonly records: readonly StoredRecord[]
  /** How many of them are known to be in the register. */
  readonly certain: number
  /** Bytes up to the end of the last whole record. */
  readonly size: number
}

/**
 * A record as it will be in the file, at `offset`.
 * @throws EventLogError for content that its readers would refuse: once extended it could not be taken back, and neither verifier nor
 *   the next start of this agent would get past it
 */
export function makeRecord(
  recnum: number,
  offset: number,
  pcr: PcrIndex,
  banks: readonly HashAlgorithm[],
  content: LaunchLogContent,
): { readonly record: StoredRecord; readonly encoded: Uint8Array } {
  const bytes = encodeLaunchLogContent(content)
  parseLaunchLogContent(bytes)
  const cel = launchLogRecord(recnum, pcr, banks, bytes)
  const encoded = encodeCelRecord(cel)
  const digests = cel.digests.flatMap((d) => (d.bank === undefined ? [] : [makeDigest(d.bank, d.bytes)]))
  return { record: { content, bytes, digests, end: offset + encoded.length }, encoded }
}

/**
 * Reads a log file as a crash may have left it: whole records, of which the last ones may not be in the register, then possibly a
 * part of one, which cannot be, because a record is synced before it is extended.
 *
 * @param file all its bytes
 * @param mark how many of them are known to be in the register
 * @throws LaunchLogError LAUNCH_LOG_CORRUPT when something before the mark cannot be read or is of another register, LAUNCH_LOG_BANKS
 */
export function readStoredRecords(
  file: Uint8Array,
  mark: number,
  pcr: PcrIndex,
  banks: readonly HashAlgorithm[],
): StoredRecords {
  const records: StoredRecord[] = []
  let certain = 0
  let at = 0
  while (at < file.length) {
    let record: StoredRecord
    try {
      record = readRecord(file, at, records.length, pcr, banks)
    } catch (cause) {
      if (cause instanceof LaunchLogError) throw cause
      if (at >= mark) break
      throw new LaunchLogError(
        'LAUNCH_LOG_CORRUPT',
        `record ${records.length} was extended earlier and cannot be read now: ${messageOf(cause)}; move the file away to ` +
          'begin a new log, which the verifier will notice',
        { cause },
      )
    }
    records.push(record)
    at = record.end
    if (at <= mark) certain = records.length
  }
  return { records, certain, size: at }
}

function readRecord(
  file: Uint8Array,
  at: number,
  recnum: number,
  pcr: PcrIndex,
  banks: readonly HashAlgorithm[],
): StoredRecord {
  const { record, end } = decodeCelRecord(file, at)
  if (record.recnum !== recnum) throw new RangeError(`it is numbered ${record.recnum}`)
  if (record.contentType !== CEL_CONTENT.holdfast) throw new RangeError(`its content is of type ${record.contentType}`)
  const content = parseLaunchLogContent(record.content)
  checkContentDigests(record)
  if (record.index.kind !== 'pcr' || record.index.value !== pcr) {
    throw new LaunchLogError(
      'LAUNCH_LOG_CORRUPT',
      `the log of this boot is in ${record.index.kind} ${record.index.value} and the configuration says PCR ${pcr}; ` +
        'the register can be changed together with a reboot only',
    )
  }
  const digests = banks.flatMap((bank) => {
    const d = record.digests.find((candidate) => candidate.bank === bank)
    return d === undefined ? [] : [makeDigest(bank, d.bytes)]
  })
  if (digests.length !== banks.length || record.digests.length !== banks.length) {
    throw new LaunchLogError(
      'LAUNCH_LOG_BANKS',
      `record ${recnum} has digests for ${record.digests.map((d) => d.bank ?? d.alg).join(', ')}, the TPM has ` +
        `${banks.join(', ')} allocated`,
    )
  }
  return { content, bytes: record.content, digests, end }
}
