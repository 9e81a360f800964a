import { fromHex, utf8 } from '../../base/index.ts'
import { bytesText, digest, type HashAlgorithm, hashSize } from '../../crypto/index.ts'
import { EventLogError } from '../errors.ts'
import type { EventDigests } from '../event.ts'
import type { FirmwareEvent, FirmwareLog } from '../firmware/firmware-log.ts'
import type { ImaList } from '../ima/ascii.ts'
import { imaCursor, isViolation, nextEntry } from '../ima/cursor.ts'
import { BANK_ORDER } from '../registers.ts'
import type { MeasureLogRecord } from '../systemd/measure-log.ts'
import { CEL_ALG, type CelDigest, type CelIndex, type CelRecord } from './cel.ts'
import { imaDigested } from './content.ts'
import { SYSTEMD_TYPES } from './names.ts'
import { type CelContent, encodeCelContent } from './typed-content.ts'

/** A record without its number, which is its place in the log that it comes to stand in. */
export type UnnumberedCelRecord = Omit<CelRecord, 'recnum'>

/**
 * Firmware events as records of type `pcclient_std`, one by one; their digests stay as they were measured. Of a CCEL
 * the registers are CCMRs; what its firmware logged for MRTD, which no event extends, is left out.
 */
export function* firmwareCelRecords({ events, registers }: FirmwareLog): Generator<UnnumberedCelRecord> {
  for (const event of events) {
    if (registers === 'rtmr' && event.register === 0) continue
    yield firmwareRecord(event, { kind: registers === 'pcr' ? 'pcr' : 'ccmr', value: event.register })
  }
}

function firmwareRecord({ type, data, digests }: FirmwareEvent, index: CelIndex): UnnumberedCelRecord {
  return recordOf(index, digests, { kind: 'pcclient_std', claimedEventType: type, eventData: data })
}

/**
 * Entries of IMA's list as records of type `ima_template`, one by one, with what kernels since Linux 5.8 extend in each
 * bank: in SHA-1 the template digest, in others the hash of the same data, and all ones for a violation.
 *
 * @param banks that the records get digests of; SHA-1 only of a list whose template digests are SHA-1
 * @throws EventLogError for an entry that is none
 */
export function* imaCelRecords(
  { bytes, templateHash }: Pick<ImaList, 'bytes' | 'templateHash'>,
  banks: readonly HashAlgorithm[],
): Generator<UnnumberedCelRecord> {
  const c = imaCursor(bytes, templateHash)
  while (nextEntry(c)) {
    const name = bytesText(bytes, c.nameAt, c.nameEnd)
    const data = bytes.subarray(c.dataAt, c.end)
    const digests: { [bank in HashAlgorithm]?: Uint8Array } = {}
    for (const bank of banks) {
      if (isViolation(c)) digests[bank] = new Uint8Array(hashSize(bank)).fill(0xff)
      else if (bank === templateHash) digests[bank] = bytes.subarray(c.digestAt, c.digestAt + c.digestSize)
      else if (bank !== 'sha1') digests[bank] = digest(bank, imaDigested(name, data))
    }
    yield recordOf({ kind: 'pcr', value: c.pcr }, digests, { kind: 'ima_template', name, data })
  }
}

/**
 * What systemd measured as records: of type `systemd` where all is known that it has room for, else with the string
 * alone.
 * @throws EventLogError EVENT_LOG_BAD_CONTENT for a secret of a type that has no number in CEL
 */
export function* systemdCelRecords(records: Iterable<MeasureLogRecord>): Generator<UnnumberedCelRecord> {
  for (const record of records) {
    const { kind, index } = record.register
    yield recordOf({ kind, value: index }, record.digests, systemdContent(record))
  }
}

function systemdContent({ eventType, string, bootId, timestampUs, index }: MeasureLogRecord): CelContent {
  const number = SYSTEMD_TYPES.indexOf(eventType ?? '')
  const boot = bootId === undefined ? undefined : bootBytes(bootId)
  if (number >= 0 && boot !== undefined && timestampUs !== undefined) {
    const event = { eventType: number, timestamp: timestampUs, bootId: boot, ...(string !== undefined && { string }) }
    return { kind: 'systemd', event }
  }
  if (string !== undefined) return { kind: 'systemd_string', bytes: utf8(string) }
  const problem = `record ${index} of systemd's log is a secret of type ${eventType ?? 'none'}, which CEL has no form for`
  throw new EventLogError('EVENT_LOG_BAD_CONTENT', problem)
}

/** 16 bytes of a boot id, with dashes or without; undefined for what is none. */
function bootBytes(text: string): Uint8Array | undefined {
  const hex = text.replaceAll('-', '')
  return /^[0-9a-f]{32}$/.test(hex) ? fromHex(hex) : undefined
}

function recordOf(index: CelIndex, digests: EventDigests, content: CelContent): UnnumberedCelRecord {
  const list = BANK_ORDER.flatMap((bank): CelDigest[] => {
    const bytes = digests[bank]
    return bytes === undefined ? [] : [{ alg: CEL_ALG[bank], bank, bytes }]
  })
  return { index, digests: list, ...encodeCelContent(content) }
}
