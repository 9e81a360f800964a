import {
  EventLogError,
  type LogEvent,
  type MeasureLogRecord,
  measureLogEvents,
  readMeasureLog,
} from '../../event-log/index.ts'
import { type Finding, finding } from '../finding.ts'

const RULE = 'boot.measure-log'
const MAX_NAMED = 8

/** A piece of systemd's tpm2-measure.log, whole records. */
export interface MeasureLogPiece {
  /** From where in the log, in bytes. */
  readonly offset: number
  readonly bytes: Uint8Array
}

export interface ReadMeasureLog {
  /** Numbered through the whole log. */
  readonly records: readonly MeasureLogRecord[]
  readonly events: readonly LogEvent[]
  /** Bytes of whole records. */
  readonly bytes: number
  readonly findings: readonly Finding[]
}

/**
 * boot.measure-log: systemd's own log must be readable, and its strings what was measured. Whether it is complete the
 * registers tell.
 *
 * @param first index of its first record in the whole log
 */
export function readMeasureLogPiece(piece: MeasureLogPiece | undefined, first: number): ReadMeasureLog {
  if (piece === undefined) return { records: [], events: [], bytes: 0, findings: [] }
  try {
    const { records: numbered, unfinishedBytes } = readMeasureLog(piece.bytes)
    const records = first === 0 ? numbered : numbered.map((r) => ({ ...r, index: r.index + first }))
    const bytes = piece.bytes.length - unfinishedBytes
    return {
      records,
      events: [...measureLogEvents(records)],
      bytes,
      findings: recordFindings(records, unfinishedBytes),
    }
  } catch (err) {
    if (!(err instanceof EventLogError)) throw err
    const message = `systemd's tpm2-measure.log cannot be read, and is not read in part: ${err.code}: ${err.message}`
    return { records: [], events: [], bytes: 0, findings: [finding(RULE, 'contraindicated', 'executables', message)] }
  }
}

/**
 * What was said of the log before and still holds: all of it when nothing of the log came now; of the records before a
 * further piece, what was wrong with them.
 */
export function keptMeasureLogFindings(previous: readonly Finding[], piece: MeasureLogPiece | undefined): Finding[] {
  const said = previous.filter((f) => f.rule === RULE)
  if (piece === undefined) return said
  return piece.offset === 0 ? [] : said.filter((f) => f.event !== undefined).slice(0, MAX_NAMED)
}

function recordFindings(records: readonly MeasureLogRecord[], unfinishedBytes: number): Finding[] {
  const wrong = records.filter((record) => record.measured === 'other')
  if (wrong.length === 0) {
    const cut = unfinishedBytes === 0 ? '' : `; systemd was cut off writing another one (${unfinishedBytes} bytes)`
    return [
      finding(RULE, 'affirming', 'executables', `${records.length} records of systemd, each as it was measured${cut}`),
    ]
  }
  return wrong.slice(0, MAX_NAMED).map(({ index, register }) =>
    finding(RULE, 'contraindicated', 'executables', `record ${index} of systemd: its string is not what was measured`, {
      event: { source: 'systemd', index, register: { kind: register.kind, index: register.index } },
    }),
  )
}
