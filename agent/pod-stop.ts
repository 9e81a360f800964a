import { readdir, readFile, statfs } from 'node:fs/promises'
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
 * Ends running pods because the verifier says so, or says nothing any more: the supervisor is asked with SIGTERM, as an operator would, and whatever is left in the pod's
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
    if (uuids.length > 0) logger.warn({ code: 'PODS_STOPPED', reason, pods: uuids.length }, 'pods are stopped')
    await Promise.all(
      uuids.map((uuid) => {
        const under = this.#stopping.get(uuid) ?? this.#stop(uuid).finally(() => this.#stopping.delete(uuid))
        this.#stopping.set(uuid, under)
        return under
      }),
    )
  }

  async #stop(uuid: string): Promise<void> {
    const { logger, graceMs = GRACE_MS } = this.#options
    try {
      if (await this.#ended(uuid, graceMs, 'SIGTERM')) return
      if (await this.#ended(uuid, KILL_MS, 'SIGKILL')) return
      logger.error({ podUuid: uuid, code: 'POD_NOT_STOPPED' }, 'processes of a pod are left after SIGKILL')
    } catch (err) {
      logger.error({ err, podUuid: uuid, code: codeOf(err) ?? 'POD_NOT_STOPPED' }, 'a pod could not be stopped')
    }
  }

  /**
   * Signals the pod until it has ended: once its supervisor, or again and again all that is left. A launch that was allowed just now has no processes
   * yet; they are waited for.
   */
  async #ended(uuid: string, withinMs: number, how: 'SIGTERM' | 'SIGKILL'): Promise<boolean> {
    let seen = how === 'SIGKILL'
    for (let waited = 0; waited < withinMs && this.#isOpen(uuid); waited += LOOK_MS) {
      const pids = await processesIn(await this.#groups(uuid))
      if (seen && pids.size === 0) return true
      if (how === 'SIGKILL') for (const pid of pids) signal(pid, how)
      const supervisor = seen ? undefined : await supervisorOf(pids)
      if (supervisor !== undefined) signal(supervisor, how)
      seen ||= supervisor !== undefined
      await wait(LOOK_MS)
    }
    return !this.#isOpen(uuid)
  }

  #isOpen(uuid: string): boolean {
    for (const open of this.#options.open()) if (open === uuid) return true
    return false
  }

  /** The control groups of its plan; none as long as stage0 writes at it. */
  async #groups(uuid: string): Promise<string[]> {
    try {
      return podGroups(uuid, await readFile(join(await this.#options.place(uuid), 'plan', 'cgroups.top'), 'utf8'))
    } catch (err) {
      if (codeOf(err) === 'ENOENT') return []
      throw err
    }
  }
}

/** The plan says where they are; a path that is not the pod's own is not believed. */
function podGroups(uuid: string, list: string): string[] {
  return list.split('\0').filter((d) => d.startsWith('/') && d.endsWith(`/holdfast/${uuid}`) && normalize(d) === d)
}

/** f_type of cgroup v1 and v2 (statfs(2)). */
const CGROUP_FILE_SYSTEMS: readonly number[] = [0x27e0eb, 0x63677270]

async function processesIn(groups: readonly string[]): Promise<Set<number>> {
  const pids = new Set<number>()
  for (const group of groups) if (await isControlGroup(group)) await addProcesses(group, pids)
  return pids
}

/** In any other file system a list of processes is whatever somebody wrote. */
async function isControlGroup(directory: string): Promise<boolean> {
  try {
    return CGROUP_FILE_SYSTEMS.includes((await statfs(directory)).type)
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return false
    throw err
  }
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
