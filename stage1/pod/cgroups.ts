import fs from 'node:fs'
import path from 'node:path'
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
