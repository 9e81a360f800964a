import fs from 'node:fs'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'

/** What a plan asks of the machine only where a manifest has need of it. */
export interface MachineFacts {
  /** Names of the kernel's active security modules. */
  readonly securityModules: () => readonly string[]
  /** `major:minor` of the disk that pods are on; undefined where they are on none that could be limited. */
  readonly blockDevice: () => string | undefined
}

/** @param dir the data directory */
export function readMachineFacts(dir: string): MachineFacts {
  return { securityModules: readSecurityModules, blockDevice: () => diskOf(dir) }
}

/** Linux, Documentation/admin-guide/LSM; where securityfs is not mounted the modules' own files tell of them. */
function readSecurityModules(): string[] {
  const listed = readIfThere('/sys/kernel/security/lsm')
  if (listed !== undefined) return listed.trim().split(',')
  return [
    ...(readIfThere('/sys/fs/selinux/enforce') === undefined ? [] : ['selinux']),
    ...(readIfThere('/sys/module/apparmor/parameters/enabled')?.trim() === 'Y' ? ['apparmor'] : []),
  ]
}

/** The kernel limits whole disks, not partitions. File systems without a device of their own have major number 0. */
function diskOf(dir: string): string | undefined {
  const { dev } = fs.statSync(dir, { bigint: true })
  // as makedev(3) puts them together
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn)
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn)
  if (major === 0n) return undefined
  const entry = `/sys/dev/block/${major}:${minor}`
  if (!fs.existsSync(entry)) return undefined
  const disk = fs.existsSync(`${entry}/partition`) ? path.dirname(fs.realpathSync(entry)) : entry
  return readIfThere(`${disk}/dev`)?.trim()
}

function readIfThere(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return undefined
    throw err
  }
}
