import fs from 'node:fs'
import { removeCgroups } from './cgroups.ts'
import { PodError } from './errors.ts'
import { inDirectory, type LockedPod, movePod } from './pod-directory.ts'
import { namedProcessesIn, podGroups } from './pod-groups.ts'
import type { Pod } from './pod-list.ts'
import { lockPod, openPod } from './pod-lock.ts'
import { removeTree } from './remove-tree.ts'
import { isRemovable } from './state.ts'

/** Undoes what a pod's networks left on the host; given by who knows of networks. Can be called again and again. */
export type UndoNetworks = (podPath: string) => Promise<void>

/**
 * Removes a pod that does not run: networks, cgroups, files, and its directory last, so that a removal that was cut
 * short can be repeated.
 *
 * @param dir the data directory
 * @throws PodError POD_BUSY for a pod that runs or that another command works on, POD_NOT_STOPPED where it left
 * processes, POD_DIRECTORY_FAILED; what `undoNetworks` throws
 */
export async function removePod(dir: string, pod: Pod, undoNetworks?: UndoNetworks): Promise<void> {
  const fd = inDirectory(dir, () => openPod(pod.path))
  if (fd === undefined) return // somebody else removed it
  try {
    if (!isRemovable(pod.state) || !lockPod(fd)) {
      throw new PodError('POD_BUSY', `pod ${pod.uuid} is ${pod.state}`, {
        hint: `Stop it first: holdfast stop ${pod.uuid.slice(0, 8)}.`,
      })
    }
    const garbage = pod.directory === 'exited-garbage' || pod.directory === 'garbage'
    const held = { uuid: pod.uuid, path: pod.path, fd }
    await clearPod(
      dir,
      garbage ? held : movePod(dir, held, pod.directory === 'run' ? 'exited-garbage' : 'garbage'),
      undoNetworks,
    )
  } finally {
    fs.closeSync(fd)
  }
}

/** Removes all that there is of a locked pod. @throws as removePod */
export async function clearPod(dir: string, pod: LockedPod, undoNetworks: UndoNetworks | undefined): Promise<void> {
  await undoNetworks?.(pod.path)
  const groups = inDirectory(dir, () => podGroups(pod.path, pod.uuid))
  await removeGroups(pod.uuid, groups)
  inDirectory(dir, () => removeTree(pod.path))
}

/** A process that was killed is gone when the kernel has torn it down. */
const TEARDOWN_MS = 5_000

/** @throws PodError POD_NOT_STOPPED with the processes that are left */
export async function removeGroups(uuid: string, groups: readonly string[], withinMs = TEARDOWN_MS): Promise<void> {
  if (await removeCgroups(groups, withinMs)) return
  const left = namedProcessesIn(groups)
  throw new PodError(
    'POD_NOT_STOPPED',
    `control groups of pod ${uuid} are still in use ${left.length === 0 ? 'by what the kernel does not list' : `by ${left.join(', ')}`}`,
    { hint: 'What is left of the pod waits for these processes: when they have ended, remove it again.' },
  )
}
