import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'
import { tryFlock } from '../../native/process/index.ts'
import { PRIVATE_USERS } from '../flavours/nspawn/index.ts'
import { PodError } from './errors.ts'
import { inDirectory, podParent, syncDirectory } from './pod-directory.ts'
import { POD_DIRECTORIES } from './state.ts'
import type { PodUuid } from './uuid.ts'

/** Numbers of users or groups, from `first` on. */
export interface IdRange {
  readonly first: number
  readonly count: number
}

/**
 * What pods' ranges are taken from: 4094 of them that nothing else on a machine with systemd uses. systemd-nspawn and
 * homed take theirs below, and the last two before 2^31 hold systemd's foreign users.
 * Source: systemd, "Users, Groups, UIDs and GIDs on systemd Systems".
 */
const REGION: IdRange = { first: 0x7000_0000, count: 4094 * PRIVATE_USERS }

/**
 * A range that none of `taken` overlaps. The search begins at a place that the UUID names, so that a range is not soon
 * used again, and pods of two data directories hardly ever meet.
 * @returns undefined where every range is taken
 */
export function chooseRange(uuid: string, taken: readonly IdRange[], region: IdRange = REGION): IdRange | undefined {
  const slots = Math.floor(region.count / PRIVATE_USERS)
  const start = Number.parseInt(uuid.slice(0, 8), 16) % slots
  for (let i = 0; i < slots; i++) {
    const range = { first: region.first + ((start + i) % slots) * PRIVATE_USERS, count: PRIVATE_USERS }
    if (!taken.some((t) => t.first < range.first + range.count && range.first < t.first + t.count)) return range
  }
  return undefined
}

/** Users and groups that the machine has, from the files of passwd(5), group(5), subuid(5) and subgid(5). */
export function hostIds(etc = '/etc'): IdRange[] {
  const fields = (name: string): string[][] =>
    readIfThere(path.join(etc, name))
      .split('\n')
      .map((line) => line.split(':'))
  const ids = ['passwd', 'group'].flatMap(fields).map(([, , id = '']) => ({ first: Number.parseInt(id, 10), count: 1 }))
  const ranges = ['subuid', 'subgid']
    .flatMap(fields)
    .map(([, first = '', count = '']) => ({ first: Number.parseInt(first, 10), count: Number.parseInt(count, 10) }))
  return [...ids, ...ranges].filter(({ first, count }) => first >= 0 && count > 0) // NaN is neither
}

/** Of a data directory: a line `FIRST UUID` for each range. */
const FILE = 'user-ranges'
const LOCK = 'user-ranges.lock'
const LOCK_MS = 10_000
const LOCK_STEP_MS = 5

/**
 * Gives a pod a range of users that no other pod of the data directory has, for as long as there is a directory of this
 * pod. Nobody gives one back: the range of a pod that is gone is free, so whoever is killed leaves nothing behind.
 *
 * @param work is done while no other range can be taken; when it returns, the pod's directory must be there
 * @throws PodError POD_USERS_EXHAUSTED, POD_FILE_BAD, POD_BUSY, POD_DIRECTORY_FAILED; what `work` throws
 */
export function withUserRange<T>(
  dir: string,
  uuid: PodUuid,
  work: (range: IdRange) => T,
  reserved: readonly IdRange[] = hostIds(),
): T {
  const lock = inDirectory(dir, () => fs.openSync(path.join(dir, LOCK), 'a', 0o600))
  try {
    waitForLock(lock)
    const range = inDirectory(dir, () => {
      const kept = readRanges(dir).filter((r) => r.uuid !== uuid && podExists(dir, r.uuid))
      const chosen = chooseRange(uuid, [...kept, ...reserved])
      if (chosen === undefined) throw exhausted(kept.length)
      writeRanges(dir, [...kept, { ...chosen, uuid }])
      return chosen
    })
    return work(range)
  } finally {
    fs.closeSync(lock)
  }
}

interface PodRange extends IdRange {
  readonly uuid: string
}

function readRanges(dir: string): PodRange[] {
  const file = path.join(dir, FILE)
  const lines = readIfThere(file).split('\n').slice(0, -1)
  return lines.map((line) => {
    const [, first, uuid] = /^([1-9][0-9]{0,9}) ([0-9a-f-]{36})$/.exec(line) ?? []
    if (first === undefined || uuid === undefined) {
      throw new PodError('POD_FILE_BAD', `${file} has a line that is none: ${line.slice(0, 60)}`, {
        hint: 'When no pod with private users is left, remove the file.',
      })
    }
    return { first: Number(first), count: PRIVATE_USERS, uuid }
  })
}

/** On the disk before any file has such an owner. */
function writeRanges(dir: string, ranges: readonly PodRange[]): void {
  const file = path.join(dir, FILE)
  const fd = fs.openSync(`${file}.new`, 'w', 0o600)
  try {
    fs.writeFileSync(fd, ranges.map(({ first, uuid }) => `${first} ${uuid}\n`).join(''))
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
  fs.renameSync(`${file}.new`, file)
  syncDirectory(dir)
}

/** Twice, for a pod may go from one directory to another between two looks; it goes back once at most. */
function podExists(dir: string, uuid: string): boolean {
  return [...POD_DIRECTORIES, ...POD_DIRECTORIES].some((name) => fs.existsSync(path.join(podParent(dir, name), uuid)))
}

function waitForLock(fd: number): void {
  for (let waited = 0; !tryFlock(fd, 'exclusive'); waited += LOCK_STEP_MS) {
    if (waited >= LOCK_MS) throw new PodError('POD_BUSY', `another launch has held ${LOCK} for ${LOCK_MS / 1000} s`)
    Atomics.wait(SLEEP, 0, 0, LOCK_STEP_MS)
  }
}
const SLEEP = new Int32Array(new SharedArrayBuffer(4))

function exhausted(pods: number): PodError {
  return new PodError('POD_USERS_EXHAUSTED', `no range of ${PRIVATE_USERS} users is free: ${pods} pods have one`, {
    hint: 'Remove pods that have ended: holdfast gc, holdfast rm. What /etc/subuid and /etc/subgid give away is never taken.',
  })
}

function readIfThere(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return ''
    throw err
  }
}
