import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { codeOf } from '../../attestation/base/index.ts'
import { type LogLine, LogLines } from './app-log.ts'

const PIECE_BYTES = 256 << 10
const LOOK_MS = 100
/** init keeps fewer. */
const MAX_OLDER = 100

/**
 * The lines of an app's log, from the oldest file that is left to the newest.
 *
 * @param until where given, more lines are waited for until it gives true
 */
export async function* readLog(
  podPath: string,
  app: string,
  until?: () => boolean,
): AsyncGenerator<readonly LogLine[], void> {
  const file = path.join(podPath, 'log', `${app}.log`)
  const lines = new LogLines()
  let current = openAll(file)
  try {
    for (;;) {
      const last = until?.() ?? true // before it is read: what was written until then is read for sure
      for (const fd of current) yield* drain(fd, lines)
      const [newest] = current.slice(-1)
      for (const fd of current.splice(0, current.length - 1)) fs.closeSync(fd)
      const rotated = newest === undefined ? openAll(file) : openNewer(file, newest)
      if (rotated.length > 0) {
        // what init wrote to the file before it was renamed
        if (newest !== undefined) yield* drain(newest, lines)
        if (newest !== undefined) fs.closeSync(newest)
        current = rotated
        continue
      }
      if (last) return
      await wait(LOOK_MS)
    }
  } finally {
    for (const fd of current) fs.closeSync(fd)
  }
}

function* drain(fd: number, lines: LogLines): Generator<readonly LogLine[]> {
  const piece = Buffer.allocUnsafe(PIECE_BYTES)
  for (let n = fs.readSync(fd, piece); n > 0; n = fs.readSync(fd, piece)) yield lines.push(piece.subarray(0, n))
}

/** Oldest first; none where there is no log. */
function openAll(file: string): number[] {
  const fds: number[] = []
  for (let n = 0; n <= MAX_OLDER; n++) {
    const fd = openLog(n === 0 ? file : `${file}.${n}`)
    if (fd === undefined) break
    fds.unshift(fd)
  }
  return fds
}

/** The files that came after the one that is open: `log`, `log.1` and so on until it is met. */
function openNewer(file: string, open: number): number[] {
  const newer: number[] = []
  for (let n = 0; n <= MAX_OLDER; n++) {
    const fd = openLog(n === 0 ? file : `${file}.${n}`)
    if (fd === undefined) return newer // it was rotated away: all that is left is newer
    if (fs.fstatSync(fd).ino === fs.fstatSync(open).ino) {
      fs.closeSync(fd)
      return newer
    }
    newer.unshift(fd)
  }
  return newer
}

function openLog(file: string): number | undefined {
  try {
    return fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW)
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return undefined
    throw err
  }
}
