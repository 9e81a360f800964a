import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { messageOf, printable } from '../../attestation/base/index.ts'
import { PodError } from './errors.ts'
import { DISK_FILE } from './guest-disk.ts'
import type { HostProgram } from './host-programs.ts'
import { inDirectory } from './pod-directory.ts'

export const MKE2FS = 'mke2fs'

/**
 * - No journal: the disk is never mounted twice, so there is nothing to replay, neither in a guest nor by who looks at it
 *   later; and nothing is written two times. A guest that crashed leaves what e2fsck calls unclean.
 * - metadata_csum: groups are told to be zero already, as a new file is, so no guest fills the file with empty tables.
 * - No reserve for root: apps that are root would get to it anyway.
 * - An inode for each 8 KiB: layers have many small files.
 * - After an error in its own structures it is read-only: more would only be lost, too.
 */
const OPTIONS = [
  ...['-q', '-F', '-t', 'ext4', '-b', '4096', '-I', '256', '-i', '8192', '-m', '0', '-e', 'remount-ro'],
  '-O',
  'none,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,huge_file,large_file,metadata_csum,sparse_super',
  ...['-E', 'root_owner=0:0,lazy_itable_init=1'],
]
/** Of mke2fs: its own words for what the options leave open, and not those of /etc/mke2fs.conf. */
const ENVIRONMENT = { LC_ALL: 'C', PATH: '/usr/sbin:/usr/bin', MKE2FS_CONFIG: '/nonexistent' }
/** 8 TiB take a third of a second. */
const TIMEOUT_MS = 60_000
/** The disk's descriptor in mke2fs. */
const DISK_FD = 3

/** What a disk is made of. */
export interface PlannedDisk {
  readonly sizeBytes: number
  /** Its content was checked; it is run by its descriptor. */
  readonly mke2fs: HostProgram
}

/**
 * Whether the file system has room for a disk of this size now. Nothing keeps it free: the file takes what is written.
 * @throws PodError POD_DIRECTORY_FAILED
 */
export function requireRoom(dir: string, sizeBytes: number): void {
  const { bavail, bsize } = inDirectory(dir, () => fs.statfsSync(dir))
  if (bavail * bsize >= sizeBytes) return
  const mib = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`
  throw new PodError(
    'POD_DIRECTORY_FAILED',
    `${path.resolve(dir)} has no room for a disk of ${mib(sizeBytes)}: ${mib(bavail * bsize)} are free`,
    { hint: 'Make it smaller, or remove pods (holdfast rm) or images.' },
  )
}

/**
 * Makes the disk of a pod: a sparse file of its own user with an empty ext4. Whoever made one before is not believed.
 *
 * @param user the host's, that QEMU runs as, and mke2fs, too
 * @returns the disk, open for reading and writing; the caller closes it
 * @throws PodError POD_DIRECTORY_FAILED; what there is of the file goes with the pod
 */
export function makeDisk(podPath: string, user: number, { sizeBytes, mke2fs }: PlannedDisk): number {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants
  const file = path.join(podPath, DISK_FILE)
  const fd = inDirectory(podPath, () => fs.openSync(file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600))
  try {
    inDirectory(podPath, () => {
      fs.ftruncateSync(fd, sizeBytes)
      fs.fchownSync(fd, user, user)
    })
    const { error, status, signal, stderr } = spawnSync(
      `/proc/self/fd/${mke2fs.fd}`,
      [...OPTIONS, `/proc/self/fd/${DISK_FD}`],
      {
        ...{ argv0: MKE2FS, cwd: '/', env: ENVIRONMENT, uid: user, gid: user },
        ...{ stdio: ['ignore', 'ignore', 'pipe', fd], timeout: TIMEOUT_MS, killSignal: 'SIGKILL' },
      },
    )
    if (error === undefined && status === 0) return fd
    const why = error === undefined ? `${MKE2FS} ended with ${signal ?? status}: ${told(stderr)}` : messageOf(error)
    throw new PodError('POD_DIRECTORY_FAILED', `${file} could not be made a disk: ${why}`, {
      ...(error === undefined ? {} : { cause: error }),
      hint: 'Where the file system is full: remove pods (holdfast rm) or images.',
    })
  } catch (err) {
    fs.closeSync(fd)
    throw err
  }
}

function told(stderr: Buffer): string {
  return printable(stderr.toString('utf8').trim(), 500)
}
