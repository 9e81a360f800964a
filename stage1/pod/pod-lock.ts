import fs from 'node:fs'
import { codeOf } from '../../attestation/base/index.ts'
import { tryFlock } from '../../native/process/index.ts'

/**
 * Opens a pod's directory without locking it. It stays this pod's when the directory is renamed.
 * @returns undefined when it is not there any more, is no directory, or not for this user: then it is no pod
 */
export function openPod(podPath: string): number | undefined {
  try {
    return fs.openSync(podPath, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW)
  } catch (err) {
    const code = codeOf(err)
    // EACCES: one in the making, which is closed to who may look
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'EACCES') return undefined
    throw err
  }
}

/** Longest that whoever only looks at a pod holds its lock. */
const LOOK_MS = 100
const LOOK_STEP_MS = 2

/**
 * Takes the exclusive lock of a pod's directory. Others look at pods by taking the shared lock for a moment, so this one
 * is tried for a while.
 * @returns false where somebody has it
 */
export function lockPod(fd: number): boolean {
  for (let waited = 0; !tryFlock(fd, 'exclusive'); waited += LOOK_STEP_MS) {
    if (waited >= LOOK_MS) return false
    Atomics.wait(SLEEP, 0, 0, LOOK_STEP_MS)
  }
  return true
}
const SLEEP = new Int32Array(new SharedArrayBuffer(4))

/** Whether the directory of this name is the one behind the descriptor: it may have been moved before it was locked. */
export function isStillAt(podPath: string, fd: number): boolean {
  const now = fs.lstatSync(podPath, { throwIfNoEntry: false })
  const held = fs.fstatSync(fd)
  return now !== undefined && now.ino === held.ino && now.dev === held.dev
}
