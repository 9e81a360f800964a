import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { PodError } from './errors.ts'

/** A program of the host that takes part in a launch. What is executed is the descriptor, not the path. */
export interface HostProgram {
  readonly name: string
  readonly path: string
  readonly fd: number
  /** Of the whole content, hex. Programs are small (under 1 ms to hash), so nothing is remembered between launches. */
  readonly sha256: string
}

/** Root's own directories only: PATH is the caller's. */
const SEARCH = ['/usr/local/bin', '/usr/bin', '/usr/local/sbin', '/usr/sbin', '/bin', '/sbin']
/** Debian's, by program. */
const PACKAGES: Readonly<Record<string, string>> = {
  'systemd-nspawn': 'systemd-container',
  'qemu-system-x86_64': 'qemu-system-x86',
  mke2fs: 'e2fsprogs',
  swtpm: 'swtpm',
  swtpm_setup: 'swtpm-tools',
  swtpm_localca: 'swtpm-tools',
  swtpm_cert: 'swtpm-tools',
  'libtpms.so.0': 'libtpms0',
  'libswtpm_libtpms.so.0': 'swtpm-libs',
}
const MAX_PROGRAM_BYTES = 256 << 20
const PART_BYTES = 256 << 10

/**
 * Opens and hashes a program of the host. The caller closes `fd`.
 *
 * @param file absolute path, or nothing to look for `name` in the system's directories
 * @throws PodError POD_PROGRAM_MISSING
 */
export function openHostProgram(name: string, file?: string): HostProgram {
  for (const candidate of file === undefined ? SEARCH.map((d) => path.join(d, name)) : [file]) {
    let fd: number
    try {
      fd = fs.openSync(candidate, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
    } catch (err) {
      if (codeOf(err) === 'ENOENT' || codeOf(err) === 'ENOTDIR') continue
      throw new PodError('POD_PROGRAM_MISSING', `${candidate}: ${messageOf(err)}`, { cause: err })
    }
    try {
      return { name, path: candidate, fd, sha256: hashProgram(fd, candidate) }
    } catch (err) {
      fs.closeSync(fd)
      throw err
    }
  }
  throw new PodError('POD_PROGRAM_MISSING', `${file ?? name} is not installed`, {
    hint: Object.hasOwn(PACKAGES, name)
      ? `Install it: apt-get install ${PACKAGES[name]}.`
      : 'Install holdfast again, or build it: npm run build.',
  })
}

/** @throws PodError POD_STAGE1_UNSUPPORTED */
export function programNamed(programs: readonly HostProgram[], name: string): HostProgram {
  const program = programs.find((p) => p.name === name)
  if (program === undefined) {
    throw new PodError('POD_STAGE1_UNSUPPORTED', `the stage1 image does not name ${name} among its host programs`)
  }
  return program
}

/** SHA-256 of what the descriptor shows now. @throws PodError POD_PROGRAM_MISSING for anything but a regular file */
export function hashProgram(fd: number, name: string): string {
  const stat = fs.fstatSync(fd)
  if (!stat.isFile() || stat.size > MAX_PROGRAM_BYTES) {
    throw new PodError('POD_PROGRAM_MISSING', `${name} is not a program: wanted a regular file of at most 256 MiB`)
  }
  const hash = createHash('sha256')
  const part = Buffer.allocUnsafe(Math.min(stat.size, PART_BYTES)) // not the whole: the stage0 server does this all day
  for (let at = 0; at < stat.size; ) {
    const n = fs.readSync(fd, part, 0, Math.min(part.length, stat.size - at), at)
    if (n === 0) break // became shorter: then its digest is another one too
    hash.update(part.subarray(0, n))
    at += n
  }
  return hash.digest('hex')
}
