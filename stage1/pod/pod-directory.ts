import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { findGroup, LOOK_GROUP } from '../users/index.ts'
import { PodError } from './errors.ts'
import { lockPod } from './pod-lock.ts'
import { POD_DIRECTORIES, type PodDirectoryName } from './state.ts'
import type { PodUuid } from './uuid.ts'

/** A pod whose exclusive lock this process holds; the lock lives as long as `fd` or a copy of it in another process. */
export interface LockedPod {
  readonly uuid: PodUuid
  readonly path: string
  readonly fd: number
}

/** `pods/<directory>` of a data directory. */
export function podParent(dir: string, directory: PodDirectoryName): string {
  return path.join(path.resolve(dir), 'pods', directory)
}

/**
 * Who may look gets in by the group of these directories; files that are not for him are 0600. He cannot open a pod's
 * own directory before the pod is in `run`, where its stage0 holds the lock: else he could lock it first.
 */
const CLOSED = 0o710
const OPEN = 0o750

function makeParents(dir: string): void {
  const missing = POD_DIRECTORIES.map((name) => podParent(dir, name)).filter((parent) => !fs.existsSync(parent))
  if (missing.length === 0) return
  const lookGroup = process.geteuid?.() === 0 ? findGroup(LOOK_GROUP) : undefined
  const pods = path.join(path.resolve(dir), 'pods')
  fs.mkdirSync(path.dirname(pods), { recursive: true, mode: OPEN })
  for (const directory of [pods, ...missing]) {
    fs.mkdirSync(directory, { recursive: true, mode: OPEN })
    if (lookGroup === undefined) continue
    fs.chownSync(directory, 0, lookGroup)
    fs.chmodSync(directory, OPEN)
  }
}

/**
 * Makes a pod: locked in `embryo`, where nobody mistakes it for an abandoned one, then renamed into `prepare`. Nothing
 * is forced to the disk: after a power cut there may be no such pod, which is as good as an aborted one.
 * @throws PodError POD_DIRECTORY_FAILED
 */
export function createPod(dir: string, uuid: PodUuid): LockedPod {
  return inDirectory(dir, () => {
    makeParents(dir)
    const embryo = path.join(podParent(dir, 'embryo'), uuid)
    fs.mkdirSync(embryo, { mode: CLOSED })
    const { gid } = fs.statSync(podParent(dir, 'embryo'))
    if (gid !== 0) fs.chownSync(embryo, 0, gid)
    const fd = fs.openSync(embryo, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
    try {
      if (!lockPod(fd)) throw new PodError('POD_BUSY', `pod ${uuid}: somebody locked its new directory`)
      return renamePod(dir, { uuid, path: embryo, fd }, 'prepare')
    } catch (err) {
      fs.closeSync(fd) // or the pod would look as if it were being made for as long as this process lives
      throw err
    }
  })
}

/**
 * Moves a locked pod to another directory and makes the move last: rename(2) and fsync of both parents.
 * @throws PodError POD_DIRECTORY_FAILED
 */
export function movePod(dir: string, pod: LockedPod, to: PodDirectoryName): LockedPod {
  const moved = renamePod(dir, pod, to)
  inDirectory(dir, () => {
    for (const parent of [pod.path, moved.path]) syncDirectory(path.dirname(parent))
  })
  return moved
}

/**
 * As movePod, but the disk works while the caller does something else.
 * @returns the pod at once, and what resolves when the move lasts, or rejects with PodError POD_DIRECTORY_FAILED
 */
export function movePodMeanwhile(
  dir: string,
  pod: LockedPod,
  to: PodDirectoryName,
): { readonly moved: LockedPod; readonly lasting: Promise<void> } {
  const moved = renamePod(dir, pod, to)
  const synced = [pod.path, moved.path].map((parent) => syncDirectoryMeanwhile(path.dirname(parent)))
  const lasting = Promise.all(synced).then(
    () => {},
    (err) => Promise.reject(withHint(dir, err)),
  )
  lasting.catch(() => {}) // it is the caller's to await, perhaps later than it fails
  return { moved, lasting }
}

/** As movePod, but a power cut may undo it. @throws PodError POD_DIRECTORY_FAILED */
export function renamePod(dir: string, pod: LockedPod, to: PodDirectoryName): LockedPod {
  return inDirectory(dir, () => {
    const target = path.join(podParent(dir, to), pod.uuid)
    if (to === 'run' || to === 'prepared') fs.fchmodSync(pod.fd, to === 'run' ? OPEN : CLOSED)
    fs.renameSync(pod.path, target)
    return { ...pod, path: target }
  })
}

/** fsync of a directory: what was renamed in it stays renamed after a power cut. */
export function syncDirectory(directory: string): void {
  const fd = fs.openSync(directory, 'r')
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

async function syncDirectoryMeanwhile(directory: string): Promise<void> {
  const handle = await fs.promises.open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Gives what the file system threw a code and a hint; errors with a code of ours stay as they are. */
export function inDirectory<T>(dir: string, work: () => T): T {
  try {
    return work()
  } catch (err) {
    throw withHint(dir, err)
  }
}

function withHint(dir: string, err: unknown): unknown {
  const code = codeOf(err)
  if (code === undefined || err instanceof PodError || !('syscall' in (err as object))) return err // it has a code: an object
  const hint =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? `${path.resolve(dir)} is full: remove pods (holdfast rm) or images.`
      : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
        ? 'Run as root, with a writable --dir.'
        : undefined
  return new PodError('POD_DIRECTORY_FAILED', messageOf(err), { cause: err, ...(hint === undefined ? {} : { hint }) })
}
