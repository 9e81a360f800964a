import fs from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { waitForFlock } from '../../native/process/index.ts'
import { readReadyAt } from './app-status.ts'
import { PodError } from './errors.ts'
import { isLocked, type Pod } from './pod-list.ts'
import { openPod } from './pod-lock.ts'

const LOOK_MS = 25

/**
 * Waits until nobody holds the pod's lock. @returns at once when the pod is gone
 * @param withinMs for ever unless given
 * @throws PodError POD_TIMEOUT
 */
export async function waitForPod(pod: Pod, withinMs?: number): Promise<void> {
  if (withinMs !== undefined) return until(pod, 'end', withinMs, () => !isLocked(pod.path))
  const fd = openPod(pod.path)
  if (fd === undefined) return
  try {
    await waitForFlock(fd, 'shared') // the kernel says when: nothing is polled
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * Waits until every app of the pod has been executed.
 * @throws PodError POD_TIMEOUT, POD_NOT_RUNNING for one that ended before it was ready
 */
export async function waitUntilReady(pod: Pod, withinMs?: number): Promise<void> {
  await until(pod, 'become ready', withinMs, () => {
    if (readReadyAt(pod.path) !== undefined) return true
    if (isLocked(pod.path)) return false
    if (readReadyAt(pod.path) !== undefined) return true
    throw new PodError('POD_NOT_RUNNING', `pod ${pod.uuid} ended, or was never started, before it was ready`, {
      hint: `holdfast status ${pod.uuid.slice(0, 8)} tells more.`,
    })
  })
}

async function until(pod: Pod, what: string, withinMs: number | undefined, is: () => boolean): Promise<void> {
  const start = performance.now()
  while (!is()) {
    if (withinMs !== undefined && performance.now() - start >= withinMs) {
      throw new PodError('POD_TIMEOUT', `pod ${pod.uuid} did not ${what} within ${withinMs / 1000} s`)
    }
    await wait(LOOK_MS)
  }
}
