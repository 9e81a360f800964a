import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { codeOf } from '../../attestation/base/index.ts'
import { type CgroupMounts, cgroupMounts } from './cgroup-layout.ts'

/** The control groups of this machine, as this process sees them. */
export function readCgroupMounts(): CgroupMounts {
  const mountinfo = fs.readFileSync('/proc/self/mountinfo', 'utf8')
  const { v2 } = cgroupMounts(mountinfo, '')
  return cgroupMounts(mountinfo, v2 === undefined ? '' : fs.readFileSync(path.join(v2, 'cgroup.controllers'), 'utf8'))
}

/**
 * Removes a cgroup and everything below it, deepest first. Absent ones are none of its trouble.
 * @throws Error EBUSY where processes are still in it
 */
export function removeCgroup(directory: string): void {
  let entries: fs.Dirent[]
  try {
    entries = fs.readdirSync(directory, { withFileTypes: true })
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return
    throw err
  }
  for (const entry of entries) if (entry.isDirectory()) removeCgroup(path.join(directory, entry.name))
  try {
    fs.rmdirSync(directory)
  } catch (err) {
    if (codeOf(err) !== 'ENOENT') throw err
  }
}

const LOOK_MS = 10

/**
 * As removeCgroup, for all of them. One whose last process is being torn down by the kernel is busy for a moment, even
 * when it lists no process any more: only trying again tells when it is not.
 * @returns whether they are gone; false where one was busy for so long
 */
export async function removeCgroups(directories: readonly string[], withinMs: number): Promise<boolean> {
  for (const until = performance.now() + withinMs; ; await wait(LOOK_MS)) {
    const busy = directories.filter((directory) => isBusy(directory))
    if (busy.length === 0) return true
    if (performance.now() >= until) return false
  }
}

/** Removes it unless it is busy. */
function isBusy(directory: string): boolean {
  try {
    removeCgroup(directory)
    return false
  } catch (err) {
    if (codeOf(err) === 'EBUSY') return true
    throw err
  }
}
