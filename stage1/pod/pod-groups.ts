import fs from 'node:fs'
import path from 'node:path'
import { codeOf, fromUtf8, printable } from '../../attestation/base/index.ts'
import { readPodFile } from './pod-file.ts'

/** f_type of cgroup v1 and v2 (statfs(2)). */
const CGROUP_V1 = 0x27e0eb
const CGROUP_V2 = 0x63677270

/**
 * The control groups that hold all of a pod. Its plan says where they are; a path that is not the pod's own is not
 * believed.
 * @returns none where there is no plan yet
 */
export function podGroups(podPath: string, uuid: string): string[] {
  const bytes = readPodFile(podPath, 'plan/cgroups.top')
  if (bytes === undefined) return []
  return fromUtf8(bytes)
    .split('\0')
    .filter((d) => d.startsWith('/') && d.endsWith(`/holdfast/${uuid}`) && path.normalize(d) === d)
}

/**
 * Ends every process of the groups at once: `cgroup.kill` of v2 leaves no room for one that forks meanwhile.
 * @returns false where the kernel has no such file; then killProcesses has to be called again and again
 */
export function killGroups(groups: readonly string[]): boolean {
  for (const group of groups) {
    if (fileSystemOf(group) !== CGROUP_V2) continue
    try {
      fs.writeFileSync(path.join(group, 'cgroup.kill'), '1', { flag: 'r+' })
      return true
    } catch (err) {
      if (!['ENOENT', 'ENODEV'].includes(codeOf(err) ?? '')) throw err // Linux before 5.14, or gone meanwhile
    }
  }
  return false
}

/** SIGKILL to what is in the groups now. */
export function killProcesses(groups: readonly string[]): void {
  for (const pid of processesIn(groups)) signal(pid, 'SIGKILL')
}

/**
 * Asks the pod's supervisor to end it in order.
 * @returns false where there is none: the pod is being launched, or has ended
 */
export function terminateSupervisor(groups: readonly string[]): boolean {
  const pids = processesIn(groups)
  for (const pid of [...pids].sort((a, b) => a - b)) {
    const parent = parentOf(pid)
    if (parent === undefined || pids.has(parent)) continue
    signal(pid, 'SIGTERM') // the one process of a pod whose parent is not of the pod
    return true
  }
  return false
}

const MOST_NAMED = 10

/** Who is in the groups, for people: `4711 (sleep)`, and how many more where they are many. */
export function namedProcessesIn(groups: readonly string[]): string[] {
  const pids = [...processesIn(groups)].sort((a, b) => a - b)
  const named = pids.slice(0, MOST_NAMED).map((pid) => `${pid} (${commandName(pid) ?? 'ended meanwhile'})`)
  return pids.length > MOST_NAMED ? [...named, `${pids.length - MOST_NAMED} more`] : named
}

/** By any of the groups: on v1 each controller has all of them. */
function processesIn(groups: readonly string[]): Set<number> {
  const pids = new Set<number>()
  for (const group of groups) {
    // in any other file system a list of processes is whatever somebody wrote
    if ([CGROUP_V1, CGROUP_V2].includes(fileSystemOf(group) ?? 0)) addProcesses(group, pids)
  }
  return pids
}

function addProcesses(group: string, pids: Set<number>): void {
  try {
    for (const line of fs.readFileSync(path.join(group, 'cgroup.procs'), 'utf8').split('\n')) {
      if (Number(line) > 0) pids.add(Number(line))
    }
    for (const entry of fs.readdirSync(group, { withFileTypes: true })) {
      if (entry.isDirectory()) addProcesses(path.join(group, entry.name), pids)
    }
  } catch (err) {
    if (!['ENOENT', 'ENODEV'].includes(codeOf(err) ?? '')) throw err // removed meanwhile
  }
}

function fileSystemOf(directory: string): number | undefined {
  try {
    return fs.statfsSync(directory).type
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return undefined
    throw err
  }
}

function parentOf(pid: number): number | undefined {
  const stat = procFile(pid, 'stat')
  return stat === undefined ? undefined : Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) // proc(5): state, then ppid
}

/** The process chooses it, so it may be anything. */
function commandName(pid: number): string | undefined {
  const name = procFile(pid, 'comm')?.replace(/\n$/, '')
  return name === undefined ? undefined : printable(name)
}

/** @returns undefined where there is no such process any more */
function procFile(pid: number, name: string): string | undefined {
  try {
    return fs.readFileSync(`/proc/${pid}/${name}`, 'utf8')
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
