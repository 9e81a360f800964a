import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { PodError } from './errors.ts'

const LARGEST_FILE = 16 << 20

/**
 * A small file of a pod's directory.
 * @returns undefined where it is absent
 * @throws PodError POD_FILE_BAD for anything but a regular file of at most 16 MiB, POD_DIRECTORY_FAILED
 */
export function readPodFile(podPath: string, name: string): Uint8Array | undefined {
  const file = path.join(podPath, name)
  let fd: number | undefined
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
    const stat = fs.fstatSync(fd)
    if (!stat.isFile() || stat.size > LARGEST_FILE) {
      throw new PodError('POD_FILE_BAD', `${file} is not a regular file of at most ${LARGEST_FILE} bytes`)
    }
    return new Uint8Array(fs.readFileSync(fd))
  } catch (err) {
    if (err instanceof PodError) throw err
    if (codeOf(err) === 'ENOENT') return undefined
    throw new PodError('POD_DIRECTORY_FAILED', `${file}: ${messageOf(err)}`, { cause: err })
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}
