import fs from 'node:fs'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { inDirectory, type LockedPod, podParent, renamePod, syncDirectory } from './pod-directory.ts'
import { listPods, type Pod } from './pod-list.ts'
import { isStillAt, lockPod, openPod } from './pod-lock.ts'
import { clearPod, type UndoNetworks } from './remove.ts'
import { POD_DIRECTORIES, type PodDirectoryName } from './state.ts'

export interface GcOptions {
  /** How long what has ended is kept after it was marked. */
  readonly gracePeriodMs: number
  /** How long a prepared pod waits to be launched. */
  readonly expirePreparedMs: number
  /** Marks, and leaves the rest to another gc. */
  readonly markOnly: boolean
  readonly nowMs: number
  readonly undoNetworks?: UndoNetworks
  /** Told of each pod that could not be cleared yet; the next gc tries again. */
  readonly onLeft: (uuid: string, why: string) => void
}

/** UUIDs of the pods that were marked, and of those that are gone. */
export interface GcResult {
  readonly marked: readonly string[]
  readonly removed: readonly string[]
}

/**
 * Collects pods in two passes, as rkt: what has ended or was abandoned is marked by moving it to a garbage directory;
 * what was marked long enough ago is removed. Whoever is killed in between leaves nothing that the next one does not
 * find. Several may run at once: each pod is the business of whoever gets its lock.
 *
 * @throws PodError POD_DIRECTORY_FAILED where the data directory itself cannot be read; never for a single pod
 */
export async function collectGarbage(dir: string, o: GcOptions): Promise<GcResult> {
  const marked: string[] = []
  for (const pod of listPods(dir, ['embryo', 'prepare', 'prepared', 'run'])) {
    const to = destination(pod, o)
    if (to === undefined) continue
    const done = await holding(pod, o, async (held) => {
      renamePod(dir, held, to)
    })
    if (done) marked.push(pod.uuid)
  }
  // once for all of them: after a power cut they are marked again
  if (marked.length > 0) {
    inDirectory(dir, () => {
      for (const name of POD_DIRECTORIES) syncDirectory(podParent(dir, name))
    })
  }
  const removed: string[] = []
  if (o.markOnly) return { marked, removed }
  for (const pod of listPods(dir, ['exited-garbage', 'garbage'])) {
    // what never ran, or was refused a second launch, nobody comes back to
    const graceMs = pod.directory === 'garbage' ? 0 : o.gracePeriodMs
    if (pod.state !== 'garbage' || age(pod, o) < graceMs) continue
    if (await holding(pod, o, (held) => clearPod(dir, held, o.undoNetworks))) removed.push(pod.uuid)
  }
  return { marked, removed }
}

/** Where a pod that nobody needs any more is moved to; undefined for one that is left alone. */
function destination(pod: Pod, o: GcOptions): PodDirectoryName | undefined {
  switch (pod.state) {
    case 'aborted':
    case 'aborted-prepare':
      return 'garbage'
    case 'prepared':
      return age(pod, o) >= o.expirePreparedMs ? 'garbage' : undefined
    case 'exited':
      return 'exited-garbage'
    default:
      return undefined
  }
}

/** Milliseconds since the directory was renamed to where it is; 0 for what this gc has just marked. */
function age(pod: Pod, o: GcOptions): number {
  return Math.max(0, o.nowMs - (fs.lstatSync(pod.path, { throwIfNoEntry: false })?.ctimeMs ?? o.nowMs))
}

/** @returns whether the work was done; a pod that somebody else has, or has moved, is his business */
async function holding(pod: Pod, o: GcOptions, work: (held: LockedPod) => Promise<void>): Promise<boolean> {
  let fd: number | undefined
  try {
    fd = openPod(pod.path)
    if (fd === undefined || !lockPod(fd) || !isStillAt(pod.path, fd)) return false
    await work({ uuid: pod.uuid, path: pod.path, fd })
    return true
  } catch (err) {
    if (codeOf(err) === undefined) throw err
    o.onLeft(pod.uuid, messageOf(err))
    return false
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}
