import { setTimeout as wait } from 'node:timers/promises'
import { fromUtf8 } from '../../attestation/base/index.ts'
import { PodError } from './errors.ts'
import { readPodFile } from './pod-file.ts'
import { killGroups, killProcesses, podGroups, terminateSupervisor } from './pod-groups.ts'
import { isLocked, type Pod } from './pod-list.ts'

export interface StopOptions {
  /** At once, without asking the apps. */
  readonly force: boolean
}

/** How a pod came to its end. */
export type Stopped = 'in order' | 'by force'

/** Beyond what the pod gives its apps and their handlers; init keeps to that by itself. */
const MARGIN_MS = 5_000
const DEFAULT_APP_MS = 10_000
/** A killed process is gone when the kernel has torn it down. */
const KILL_MS = 10_000
const LOOK_MS = 20

/**
 * Stops a running pod: its supervisor is asked to end it in order, and what has not ended by the time that its apps
 * have is killed as a whole.
 *
 * @returns when the pod's lock is free
 * @throws PodError POD_NOT_RUNNING, POD_BUSY for one that is being launched still, POD_NOT_STOPPED
 */
export async function stopPod(pod: Pod, { force }: StopOptions): Promise<Stopped> {
  if (pod.state !== 'running') {
    throw new PodError('POD_NOT_RUNNING', `pod ${pod.uuid} is ${pod.state}, not running`)
  }
  if (!force && (await endsWithin(pod, orderMs(pod), inOrder(pod)))) return 'in order'
  if (await endsWithin(pod, KILL_MS, () => byForce(pod))) return 'by force'
  if (podGroups(pod.path, pod.uuid).length === 0) {
    throw new PodError('POD_BUSY', `pod ${pod.uuid} is being launched`, {
      hint: 'Try again in a moment, or end the process of its holdfast run.',
    })
  }
  throw new PodError('POD_NOT_STOPPED', `processes of pod ${pod.uuid} are left after SIGKILL`, {
    hint: 'They wait for the kernel, for a device or a file system as a rule; the kernel log may say which.',
  })
}

/** Once: a second SIGTERM would be taken by systemd-nspawn for impatience. One that has no processes yet is waited for. */
function inOrder(pod: Pod): () => void {
  let asked = false
  return () => {
    if (!asked) asked = terminateSupervisor(podGroups(pod.path, pod.uuid))
  }
}

function byForce(pod: Pod): void {
  const groups = podGroups(pod.path, pod.uuid)
  if (!killGroups(groups)) killProcesses(groups)
}

async function endsWithin(pod: Pod, withinMs: number, act: () => void): Promise<boolean> {
  for (let waited = 0; waited < withinMs; waited += LOOK_MS) {
    if (!isLocked(pod.path)) return true
    act()
    await wait(LOOK_MS)
  }
  return !isLocked(pod.path)
}

/** Apps have this long, and their post-stop handlers once more. */
function orderMs({ path }: Pod): number {
  const bytes = readPodFile(path, 'plan/stop-timeout-ms')
  const ms = bytes === undefined ? Number.NaN : Number.parseInt(fromUtf8(bytes), 10)
  return 2 * (Number.isFinite(ms) ? ms : DEFAULT_APP_MS) + MARGIN_MS
}
