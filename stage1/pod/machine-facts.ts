import fs from 'node:fs'
import { release } from 'node:os'
import path from 'node:path'
import { codeOf } from '../../attestation/base/index.ts'

/** What a plan asks of the machine only where a manifest has need of it. */
export interface MachineFacts {
  /** Names of the kernel's active security modules. */
  readonly securityModules: () => readonly string[]
  /** `major:minor` of the disk that pods are on; undefined where they are on none that could be limited. */
  readonly blockDevice: () => string | undefined
  /** Why pods cannot have users of their own; undefined where they can. */
  readonly noPrivateUsers: () => string | undefined
}

/** @param dir the data directory */
export function readMachineFacts(dir: string): MachineFacts {
  return { securityModules: readSecurityModules, blockDevice: () => diskOf(dir), noPrivateUsers }
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

/** Whether file systems of images and pods can be mounted with other owners only the mount itself tells. */
function noPrivateUsers(): string | undefined {
  const most = readIfThere('/proc/sys/user/max_user_namespaces')
  if (most === undefined) return 'this kernel has no user namespaces'
  if (Number(most) === 0) return 'user.max_user_namespaces is 0'
  const [major = 0, minor = 0] = release().split('.').map(Number.parseFloat)
  // tmpfs, which holds a pod's plan, was the last of them to learn it
  return major > 6 || (major === 6 && minor >= 3) ? undefined : `Linux ${release()} is older than 6.3`
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
