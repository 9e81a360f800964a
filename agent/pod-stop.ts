import { readdir, readFile } from 'node:fs/promises'
import { join, normalize } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Logger } from 'pino'
import { codeOf } from '../attestation/base/index.ts'

/** An app has this long to end in order; holdfast-stage1 itself gives it less (stop-timeout-ms of the plan). */
const GRACE_MS = 15_000
/** A killed process is gone when the kernel has torn it down. */
const KILL_MS = 5000
const LOOK_MS = 50

export interface PodStopOptions {
  /** UUIDs of the pods whose end is not recorded. */
  readonly open: () => Iterable<string>
  /** The directory of a pod. */
  readonly place: (uuid: string) => Promise<string>
  readonly logger: Logger
  readonly graceMs?: number
}

/**
 * Ends running pods because the verifier says so: the supervisor is asked with SIGTERM, as an operator would, and whatever is left in the pod's
 * control groups after that is killed. The end is recorded by PodWatch, like any other.
 */
export class PodStopper {
  readonly #options: PodStopOptions
  readonly #stopping = new Map<string, Promise<void>>()

  constructor(options: PodStopOptions) {
    this.#options = options
  }

  /** Ends every pod that runs now. Said again while that is under way, it changes nothing. */
  async stopAll(reason: string): Promise<void> {
    const { open, logger } = this.#options
    const uuids = [...open()]
    if (uuids.length > 0)
      logger.warn({ code: 'PODS_STOPPED', reason, pods: uuids.length }, 'pods are stopped by the verifier')
    await Promise.all(
      uuids.map((uuid) => {
        const under = this.#stopping.get(uuid) ?? this.#stop(uuid).finally(() => this.#stopping.delete(uuid))
        this.#stopping.set(uuid, under)
        return under
      }),
    )
  }

  async #stop(uuid: string): Promise<void> {
    const { place, logger, graceMs = GRACE_MS } = this.#options
    try {
      const groups = podGroups(uuid, await readFile(join(await place(uuid), 'plan', 'cgroups.top'), 'utf8'))
      const supervisor = await supervisorOf(await processesIn(groups))
      if (supervisor !== undefined) signal(supervisor, 'SIGTERM')
      if (await gone(groups, graceMs, () => {})) return
      const kill = (pids: ReadonlySet<number>): void => {
        for (const pid of pids) signal(pid, 'SIGKILL')
      }
      if (await gone(groups, KILL_MS, kill)) return
      logger.error({ podUuid: uuid, code: 'POD_NOT_STOPPED' }, 'processes of a pod are left after SIGKILL')
    } catch (err) {
      logger.error({ err, podUuid: uuid, code: codeOf(err) ?? 'POD_NOT_STOPPED' }, 'a pod could not be stopped')
    }
  }
}

/** The plan says where they are; a path that is not the pod's own is not believed. */
function podGroups(uuid: string, list: string): string[] {
  return list.split('\0').filter((d) => d.startsWith('/') && d.endsWith(`/holdfast/${uuid}`) && normalize(d) === d)
}

/** Waits until no process is left in the groups. `each` is told of those that are, at every look. */
async function gone(
  groups: readonly string[],
  withinMs: number,
  each: (pids: ReadonlySet<number>) => void,
): Promise<boolean> {
  for (let waited = 0; ; waited += LOOK_MS) {
    const left = await processesIn(groups)
    if (left.size === 0) return true
    if (waited >= withinMs) return false
    each(left)
    await wait(LOOK_MS)
  }
}

async function processesIn(groups: readonly string[]): Promise<Set<number>> {
  const pids = new Set<number>()
  for (const group of groups) await addProcesses(group, pids)
  return pids
}

async function addProcesses(group: string, pids: Set<number>): Promise<void> {
  try {
    for (const line of (await readFile(join(group, 'cgroup.procs'), 'utf8')).split('\n')) {
      if (Number(line) > 0) pids.add(Number(line))
    }
    for (const entry of await readdir(group, { withFileTypes: true })) {
      if (entry.isDirectory()) await addProcesses(join(group, entry.name), pids)
    }
  } catch (err) {
    if (!['ENOENT', 'ENODEV'].includes(codeOf(err) ?? '')) throw err // removed meanwhile
  }
}

/** The one process of a pod whose parent is not of the pod. */
async function supervisorOf(pids: ReadonlySet<number>): Promise<number | undefined> {
  for (const pid of [...pids].sort((a, b) => a - b)) {
    const parent = await parentOf(pid)
    if (parent !== undefined && !pids.has(parent)) return pid
  }
  return undefined
}

async function parentOf(pid: number): Promise<number | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) // proc(5): state, then ppid
  } catch (err) {
    if (codeOf(err) === 'ENOENT' || codeOf(err) === 'ESRCH') return undefined
    throw err
  }
}

function signal(pid: number, name: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, name)
  } catch (err) {
    if (codeOf(err) !== 'ESRCH') throw err
  }
}
