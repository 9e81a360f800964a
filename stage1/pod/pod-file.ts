import fs from 'node:fs'
import { codeOf, fromUtf8, messageOf } from '../../attestation/base/index.ts'
import { PodError } from './errors.ts'

const LARGEST_FILE = 16 << 20

/** A list reads thousands of small files: into one place, without a buffer and a question for the size of each. */
const PLACE = Buffer.alloc(1 << 14)

/**
 * A small file of a pod's directory.
 * @returns undefined where it is absent
 * @throws PodError POD_FILE_BAD for anything but a regular file of at most 16 MiB, POD_DIRECTORY_FAILED
 */
export function readPodFile(podPath: string, name: string): Uint8Array | undefined {
  return reading(podPath, name, (bytes) => new Uint8Array(bytes))
}

/**
 * As readPodFile, the text.
 * @throws TypeError where it is no UTF-8
 */
export function readPodText(podPath: string, name: string): string | undefined {
  return reading(podPath, name, fromUtf8)
}

/** @param take is done with the bytes when it returns */
function reading<T>(podPath: string, name: string, take: (bytes: Uint8Array) => T): T | undefined {
  const file = `${podPath}/${name}`
  let bytes: Uint8Array
  let fd: number | undefined
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
    bytes = readWhole(fd, file)
  } catch (err) {
    if (err instanceof PodError) throw err
    if (codeOf(err) === 'ENOENT') return undefined
    throw new PodError('POD_DIRECTORY_FAILED', `${file}: ${messageOf(err)}`, { cause: err })
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
  return take(bytes)
}

/**
 * What can be read at a position, ends within our place and is not empty is a regular file, or as good as one: a pipe, a
 * socket, a terminal and a directory cannot, and devices have no end, or nothing.
 */
function readWhole(fd: number, file: string): Uint8Array {
  let n = 0
  try {
    n = fs.readSync(fd, PLACE, 0, PLACE.length, 0)
  } catch (err) {
    if (codeOf(err) !== 'ESPIPE' && codeOf(err) !== 'EISDIR') throw err
  }
  if (n > 0 && n < PLACE.length) return PLACE.subarray(0, n)
  const stat = fs.fstatSync(fd)
  if (!stat.isFile() || stat.size > LARGEST_FILE) {
    throw new PodError('POD_FILE_BAD', `${file} is not a regular file of at most ${LARGEST_FILE} bytes`)
  }
  const bytes = Buffer.alloc(stat.size)
  let at = 0
  for (let more = -1; at < stat.size && more !== 0; at += more) more = fs.readSync(fd, bytes, at, stat.size - at, at)
  return bytes.subarray(0, at)
}
