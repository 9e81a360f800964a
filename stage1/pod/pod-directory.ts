import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { tryFlock } from '../../native/process/index.ts'
import { PodError } from './errors.ts'
import { POD_DIRECTORIES, type PodDirectoryName, type PodState, podState } from './state.ts'
import { matchUuid, type PodUuid, podUuid } from './uuid.ts'

/** A pod as the data directory shows it at one moment. */
export interface Pod {
  readonly uuid: PodUuid
  readonly directory: PodDirectoryName
  /** Absolute. */
  readonly path: string
  readonly state: PodState
}

/** A pod whose exclusive lock this process holds; the lock lives as long as `fd` or a copy of it in another process. */
export interface LockedPod {
  readonly uuid: PodUuid
  readonly path: string
  readonly fd: number
}

const LARGEST_FILE = 16 << 20

/** `pods/<directory>` of a data directory. */
export function podParent(dir: string, directory: PodDirectoryName): string {
  return path.join(path.resolve(dir), 'pods', directory)
}

/**
 * Makes a pod: locked in `embryo`, where nobody mistakes it for an abandoned one, then renamed into `prepare`. Nothing
 * is forced to the disk: after a power cut there may be no such pod, which is as good as an aborted one.
 * @throws PodError POD_DIRECTORY_FAILED
 */
export function createPod(dir: string, uuid: PodUuid): LockedPod {
  return inDirectory(dir, () => {
    for (const name of POD_DIRECTORIES) fs.mkdirSync(podParent(dir, name), { recursive: true, mode: 0o750 })
    const embryo = path.join(podParent(dir, 'embryo'), uuid)
    fs.mkdirSync(embryo, { mode: 0o750 })
    const fd = fs.openSync(embryo, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
    try {
      if (!tryFlock(fd, 'exclusive')) throw new PodError('POD_BUSY', `pod ${uuid}: somebody locked its new directory`)
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

function renamePod(dir: string, pod: LockedPod, to: PodDirectoryName): LockedPod {
  return inDirectory(dir, () => {
    const target = path.join(podParent(dir, to), pod.uuid)
    fs.renameSync(pod.path, target)
    return { ...pod, path: target }
  })
}

/** All pods, in no order; directories with other names are not pods. @throws PodError POD_DIRECTORY_FAILED */
export function listPods(dir: string): Pod[] {
  return inDirectory(dir, () =>
    POD_DIRECTORIES.flatMap((directory) => {
      const parent = podParent(dir, directory)
      return entriesOf(parent).flatMap((name) => {
        const uuid = uuidOrNothing(name)
        const state = uuid === undefined ? undefined : readState(path.join(parent, name), directory)
        return uuid === undefined || state === undefined
          ? []
          : [{ uuid, directory, path: path.join(parent, name), state }]
      })
    }),
  )
}

/** @throws PodError POD_UUID_BAD, POD_NOT_FOUND, POD_AMBIGUOUS, POD_DIRECTORY_FAILED */
export function findPod(dir: string, prefix: string): Pod {
  return matchUuid(listPods(dir), prefix)
}

/**
 * Opens a pod's directory without locking it. It stays this pod's when the directory is renamed.
 * @returns undefined when it is not there any more, or is no directory: then it is no pod
 */
export function openPod(podPath: string): number | undefined {
  try {
    return fs.openSync(podPath, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW)
  } catch (err) {
    const code = codeOf(err)
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return undefined
    throw err
  }
}

/**
 * A small file of a pod's directory.
 * @returns undefined where it is absent
 * @throws PodError POD_FILE_BAD for anything but a regular file of at most 16 MiB, POD_DIRECTORY_FAILED
 */
export function readPodFile(podPath: string, name: string): Uint8Array | undefined {
  const file = path.join(podPath, name)
  let fd: number | undefined
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
    const stat = fs.fstatSync(fd)
    if (!stat.isFile() || stat.size > LARGEST_FILE) {
      throw new PodError('POD_FILE_BAD', `${file} is not a regular file of at most ${LARGEST_FILE} bytes`)
    }
    return new Uint8Array(fs.readFileSync(fd))
  } catch (err) {
    if (err instanceof PodError) throw err
    if (codeOf(err) === 'ENOENT') return undefined
    throw new PodError('POD_DIRECTORY_FAILED', `${file}: ${messageOf(err)}`, { cause: err })
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
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

/** A shared lock is granted exactly when nobody holds the exclusive one. */
function readState(podPath: string, directory: PodDirectoryName): PodState | undefined {
  const fd = openPod(podPath)
  if (fd === undefined) return undefined // renamed or removed since it was listed
  try {
    return podState(directory, !tryFlock(fd, 'shared'))
  } finally {
    fs.closeSync(fd)
  }
}

function entriesOf(directory: string): string[] {
  try {
    return fs.readdirSync(directory)
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return []
    throw err
  }
}

function uuidOrNothing(name: string): PodUuid | undefined {
  try {
    return podUuid(name)
  } catch (err) {
    if (err instanceof PodError) return undefined
    throw err
  }
}
