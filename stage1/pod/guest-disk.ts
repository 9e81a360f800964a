import type { Isolator, PodManifest } from '../manifest/index.ts'
import { PodError } from './errors.ts'
import { limitOf, parseSize } from './resources.ts'

/** Isolator of a pod that is a virtual machine with a disk for what its apps write; its value is `{ "limit": SIZE }`. */
export const DISK_ISOLATOR = 'holdfast/disk'

/** The disk in the pod's directory. */
export const DISK_FILE = 'disk'

/** A block of its file system. */
const BLOCK_BYTES = 4096
/** With less, what the file system itself needs is more than apps get. */
const LEAST_BYTES = 2 ** 24
/** Half of what a file of ext4 can hold; the host's file system has to keep it as one. */
const MOST_BYTES = 2 ** 43

/** @param size as typed: it is measured that way. @throws PodError POD_ISOLATOR_BAD */
export function diskIsolator(size: string): Isolator {
  parseDisk(size)
  return { name: DISK_ISOLATOR, value: { limit: size } }
}

/** @returns the size of the disk, whole blocks; undefined for a pod without one. @throws PodError POD_ISOLATOR_BAD */
export function diskBytesWanted({ isolators }: Pick<PodManifest, 'isolators'>): number | undefined {
  const found = isolators.find(({ name }) => name === DISK_ISOLATOR)
  return found === undefined ? undefined : parseDisk(limitOf(DISK_ISOLATOR, found.value))
}

/** @throws PodError POD_UNSUPPORTED for a pod that is to have one */
export function refuseDisk(manifest: Pick<PodManifest, 'isolators'>): void {
  if (diskBytesWanted(manifest) === undefined) return
  throw new PodError('POD_UNSUPPORTED', 'only a virtual machine has a disk of its own', {
    hint: 'Leave --disk out: what apps write is on the disk of the data directory anyway. Or make it one: --stage1 kvm.',
  })
}

function parseDisk(text: string): number {
  const wanted = 'a size from 16Mi to 8Ti, such as 512Mi or 10G'
  const bytes = parseSize(DISK_ISOLATOR, text, LEAST_BYTES, MOST_BYTES, wanted)
  return bytes - (bytes % BLOCK_BYTES)
}
