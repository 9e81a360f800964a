import { decodeCelAny, EventLogError, imaEntries, readFirmwareLog, readMeasureLog } from '../event-log/index.ts'
import type { EvidenceFile } from '../evidence-file/index.ts'

/** One log of an evidence file, in numbers. */
export interface LogContents {
  readonly log: 'firmware' | 'systemd' | 'ima' | 'launch'
  readonly sizeBytes: number
  /** Undefined for a log that cannot be read. */
  readonly events: number | undefined
}

/** What is in a file, for whoever has just collected it. */
export function evidenceContents({ logs }: EvidenceFile): LogContents[] {
  const { firmware, systemd, ima, launch } = logs
  const of = (log: LogContents['log'], bytes: Uint8Array | undefined, count: (bytes: Uint8Array) => number) =>
    bytes === undefined ? [] : [{ log, sizeBytes: bytes.length, events: counted(bytes, count) }]
  return [
    ...of('firmware', firmware, (bytes) => readFirmwareLog(bytes).events.length),
    ...of('systemd', systemd, (bytes) => readMeasureLog(bytes).records.length),
    ...of('ima', ima, countIma),
    ...of('launch', launch?.bytes, (bytes) => decodeCelAny(bytes).records.length),
  ]
}

function countIma(bytes: Uint8Array): number {
  let entries = 0
  for (const _ of imaEntries(bytes)) entries++
  return entries
}

function counted(bytes: Uint8Array, count: (bytes: Uint8Array) => number): number | undefined {
  try {
    return bytes.length === 0 ? 0 : count(bytes)
  } catch (err) {
    if (err instanceof EventLogError) return undefined
    throw err
  }
}
