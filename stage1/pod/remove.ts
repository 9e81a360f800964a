import fs from 'node:fs'
import path from 'node:path'
import { fromUtf8 } from '../../attestation/base/index.ts'
import { tryFlock } from '../../native/process/index.ts'
import { removeCgroup } from './cgroups.ts'
import { PodError } from './errors.ts'
import { inDirectory, movePod, openPod, type Pod, readPodFile } from './pod-directory.ts'
import { removeTree } from './remove-tree.ts'
import { isRemovable } from './state.ts'

/**
 * Removes a pod that does not run: cgroups, files, and its directory last, so that a removal that was cut short can be
 * repeated.
 *
 * @param dir the data directory
 * @throws PodError POD_BUSY for a pod that runs or that another command works on, POD_DIRECTORY_FAILED
 */
export function removePod(dir: string, pod: Pod): void {
  inDirectory(dir, () => {
    const fd = openPod(pod.path)
    if (fd === undefined) return // somebody else removed it
    try {
      if (!isRemovable(pod.state) || !tryFlock(fd, 'exclusive')) {
        throw new PodError('POD_BUSY', `pod ${pod.uuid} is ${pod.state}`, {
          hint: 'Stop it first: its process is the one that holdfast run became; SIGTERM ends it in order.',
        })
      }
      const garbage = pod.directory === 'exited-garbage' || pod.directory === 'garbage'
      const held = garbage
        ? { uuid: pod.uuid, path: pod.path, fd }
        : movePod(dir, { uuid: pod.uuid, path: pod.path, fd }, pod.directory === 'run' ? 'exited-garbage' : 'garbage')
      removePodCgroups(held.path, pod.uuid)
      removeTree(held.path)
    } finally {
      fs.closeSync(fd)
    }
  })
}

/** The plan says where they are; a path that is not the pod's own is not believed. */
function removePodCgroups(podPath: string, uuid: string): void {
  const bytes = readPodFile(podPath, 'plan/cgroups.top')
  if (bytes === undefined) return
  for (const directory of fromUtf8(bytes).split('\0')) {
    if (
      directory.startsWith('/') &&
      directory.endsWith(`/holdfast/${uuid}`) &&
      path.normalize(directory) === directory
    ) {
      removeCgroup(directory)
    }
  }
}
