import type { HashAlgorithm } from '../crypto/index.ts'
import {
  BANK_ORDER,
  type CelEncoding,
  type CelRecord,
  decodeCelAny,
  EventLogError,
  encodeCelCbor,
  encodeCelJson,
  encodeCelRecord,
  firmwareCelRecords,
  IMA_PCR,
  type ImaList,
  imaCelRecords,
  type LogSource,
  readFirmwareLog,
  readImaList,
  readMeasureLog,
  systemdCelRecords,
  type UnnumberedCelRecord,
} from '../event-log/index.ts'
import type { EvidenceFile } from '../evidence-file/index.ts'
import { EvidenceError } from './errors.ts'
import { describeKind, type OpenedEvidence } from './open.ts'

/** As many as a CEL in TLV is read with, and as a CEL in JSON or CBOR is, which are read whole. */
const MAX_RECORDS: Readonly<Record<CelEncoding, number>> = { tlv: 1 << 20, json: 1 << 16, cbor: 1 << 16 }

/**
 * Logs as one canonical event log, in the order in which a machine begins to write them. Digests stay as they were
 * measured, so that it replays as they do; that something was proved of them is not in it.
 *
 * @param source of this log only
 * @returns the log in pieces; TLV is made while it is written
 * @throws EvidenceError EVIDENCE_NO_LOG where there is none, EVIDENCE_NO_CEL for a log that CEL has no form for
 * @throws EventLogError of a log that cannot be read, EVENT_LOG_TOO_LONG for more records than the encoding is read with
 */
export function convertToCel(opened: OpenedEvidence, encoding: CelEncoding, source?: LogSource): Iterable<Uint8Array> {
  const records = numbered(recordsOf(opened, source), MAX_RECORDS[encoding])
  switch (encoding) {
    case 'tlv':
      return encodedTlv(records)
    case 'json':
      return [encodeCelJson([...records])]
    case 'cbor':
      return [encodeCelCbor([...records])]
  }
}

function* encodedTlv(records: Iterable<CelRecord>): Generator<Uint8Array> {
  for (const record of records) {
    if (record.digests.length === 0) {
      const why = 'it has no digest of a bank that is known here; cel-json and cel-cbor can hold such a record'
      throw new EvidenceError('EVIDENCE_NO_CEL', `record ${record.recnum} cannot be written as TLV: ${why}`)
    }
    yield encodeCelRecord(record)
  }
}

function* numbered(records: Iterable<UnnumberedCelRecord>, most: number): Generator<CelRecord> {
  let recnum = 0
  for (const record of records) {
    if (recnum === most) {
      const advice = 'choose one log with --source, or cel-tlv, which may be longest'
      throw new EventLogError('EVENT_LOG_TOO_LONG', `more than ${most} records: ${advice}`)
    }
    yield { ...record, recnum: recnum++ }
  }
  if (recnum === 0) throw new EvidenceError('EVIDENCE_NO_LOG', 'there is no such log in it: nothing to convert')
}

function* recordsOf(opened: OpenedEvidence, source?: LogSource): Generator<UnnumberedCelRecord> {
  const isWanted = (log: LogSource): boolean => source === undefined || source === log
  switch (opened.kind) {
    case 'evidence':
      return yield* fileRecords(opened.file, isWanted)
    case 'firmware':
      if (isWanted('firmware')) yield* firmwareCelRecords(opened.log)
      return
    case 'ima':
      if (isWanted('ima')) yield* imaCelRecords(opened.list, imaBanks(opened.list, []))
      return
    case 'systemd':
      if (isWanted('systemd')) yield* systemdCelRecords(opened.log.records)
      return
    case 'cel':
      if (isWanted('cel') || isWanted('launch-log')) yield* opened.log.records
      return
    case 'aael':
      throw new EvidenceError('EVIDENCE_NO_CEL', `CEL has no form for an ${describeKind(opened)}: it names no register`)
  }
}

function* fileRecords(
  { logs, pcrs }: EvidenceFile,
  isWanted: (log: LogSource) => boolean,
): Generator<UnnumberedCelRecord> {
  const { firmware, systemd, ima, launch } = logs
  if (firmware !== undefined && firmware.length > 0 && isWanted('firmware')) {
    yield* firmwareCelRecords(readFirmwareLog(firmware))
  }
  if (systemd !== undefined && isWanted('systemd')) yield* systemdCelRecords(readMeasureLog(systemd).records)
  if (ima !== undefined && ima.length > 0 && isWanted('ima')) {
    const list = readImaList(ima)
    yield* imaCelRecords(
      list,
      imaBanks(
        list,
        pcrs.filter(({ pcr }) => pcr === IMA_PCR).map(({ bank }) => bank),
      ),
    )
  }
  if (launch !== undefined && isWanted('launch-log')) yield* decodeCelAny(launch.bytes).records
}

/** Those that were quoted; of a list by itself SHA-256. SHA-1 only where the list has it. */
function imaBanks({ templateHash }: ImaList, quoted: readonly HashAlgorithm[]): HashAlgorithm[] {
  const wanted = quoted.length === 0 ? ['sha256', templateHash] : quoted
  return BANK_ORDER.filter((bank) => wanted.includes(bank) && (bank !== 'sha1' || templateHash === 'sha1'))
}
