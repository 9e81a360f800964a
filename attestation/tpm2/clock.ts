import { limitInput, WireReader, WireWriter } from './wire.ts'

/** TPMS_CLOCK_INFO. Source: TPM 2.0 Part 2 r1.59 §10.11.1. */
export interface ClockInfo {
  /** Milliseconds while the TPM was powered; NV-backed, so it may fall back after an unorderly shutdown. */
  readonly clockMs: bigint
  /** TPM Resets since the TPM was last cleared. */
  readonly resetCount: number
  /** TPM Restarts and Resumes, and DRTM launches, since the last TPM Reset. */
  readonly restartCount: number
  /** false: this clock value may have been shown before. */
  readonly safe: boolean
}

/** TPMS_TIME_INFO. Source: §10.11.6. */
export interface TimeInfo {
  /** Milliseconds since the TPM was last powered or started. */
  readonly timeMs: bigint
  readonly clockInfo: ClockInfo
}

/** Offsets in a marshalled TPMS_TIME_INFO, for policyCounterTimer(). */
export const TIME_INFO_OFFSET = { time: 0, clock: 8, resetCount: 16, restartCount: 20, safe: 24 } as const

export function readClockInfo(r: WireReader): ClockInfo {
  return {
    clockMs: r.u64('clockInfo.clock'),
    resetCount: r.u32('clockInfo.resetCount'),
    restartCount: r.u32('clockInfo.restartCount'),
    safe: r.yesNo('clockInfo.safe'),
  }
}

export function writeClockInfo(w: WireWriter, info: ClockInfo): void {
  w.u64(info.clockMs).u32(info.resetCount).u32(info.restartCount).yesNo(info.safe)
}

export function readTimeInfo(r: WireReader): TimeInfo {
  return { timeMs: r.u64('time'), clockInfo: readClockInfo(r) }
}

export function writeTimeInfo(w: WireWriter, info: TimeInfo): void {
  w.u64(info.timeMs)
  writeClockInfo(w, info.clockInfo)
}

const TIME_INFO_BYTES = 25

/**
 * TPMS_TIME_INFO as TPM2_ReadClock answers; not signed. Source: TPM 2.0 Part 2 r1.59 §10.11.6.
 *
 * @throws WireError
 */
export function decodeTimeInfo(bytes: Uint8Array): TimeInfo {
  limitInput(bytes, 'TPMS_TIME_INFO', TIME_INFO_BYTES)
  const r = new WireReader(bytes, 'TPMS_TIME_INFO')
  const info = readTimeInfo(r)
  r.end()
  return info
}

export function encodeTimeInfo(info: TimeInfo): Uint8Array {
  const w = new WireWriter()
  writeTimeInfo(w, info)
  return w.finish()
}
