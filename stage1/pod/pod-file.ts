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
    return readWhole(fd, stat.size)
  } catch (err) {
    if (err instanceof PodError) throw err
    if (codeOf(err) === 'ENOENT') return undefined
    throw new PodError('POD_DIRECTORY_FAILED', `${file}: ${messageOf(err)}`, { cause: err })
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

/** As many bytes as there were a moment ago: one call where readFileSync needs four, and a list reads thousands of files. */
function readWhole(fd: number, size: number): Uint8Array {
  const bytes = Buffer.alloc(size)
  let at = 0
  for (let n = -1; at < size && n !== 0; at += n) n = fs.readSync(fd, bytes, at, size - at, at)
  return new Uint8Array(bytes.buffer, bytes.byteOffset, at)
}
