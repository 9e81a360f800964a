import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { ImageError } from './errors.ts'
import { givenDirectory } from './given-files.ts'
import { readMember, streamMember, type TarIndex } from './tar-index.ts'

/** The files of an image layout, in a directory or in an archive. Names are relative, with slashes. */
export interface LayoutFiles {
  /** For messages. */
  readonly shown: string
  /** @returns undefined where there is no such file @throws ImageError IMAGE_SOURCE_BAD, `tooLarge` beyond maxBytes */
  read(name: string, maxBytes: number, tooLarge: 'IMAGE_TOO_LARGE' | 'IMAGE_SIZE_MISMATCH'): Buffer | undefined
  /** @throws ImageError IMAGE_BLOB_MISSING, IMAGE_SOURCE_BAD */
  stream(name: string): AsyncIterable<Buffer>
}

const READ_BYTES = 1024 * 1024

export function layoutInDirectory(directory: string, signal?: AbortSignal): LayoutFiles {
  return {
    shown: directory,
    read: (name, maxBytes, tooLarge) => readFile(path.join(givenDirectory(directory), name), maxBytes, tooLarge),
    async *stream(name) {
      const file = path.join(givenDirectory(directory), name)
      try {
        const stream = fs.createReadStream(file, { highWaterMark: READ_BYTES, ...(signal && { signal }) })
        for await (const chunk of stream) yield chunk as Buffer // no encoding is set
      } catch (cause) {
        if (codeOf(cause) === 'ENOENT') throw missing(name, directory)
        throw new ImageError('IMAGE_SOURCE_BAD', `cannot read ${file}: ${messageOf(cause)}`, { cause })
      }
    },
  }
}

export function layoutInArchive(index: TarIndex, signal?: AbortSignal): LayoutFiles {
  return {
    shown: index.shown,
    read(name, maxBytes, tooLarge) {
      const member = index.members.get(name)
      if (member === undefined) return undefined
      if (member.sizeBytes > maxBytes) throw large(`${name} in ${index.shown}`, member.sizeBytes, maxBytes, tooLarge)
      return readMember(index, member, maxBytes)
    },
    async *stream(name) {
      const member = index.members.get(name)
      if (member === undefined) throw missing(name, index.shown)
      yield* streamMember(index, member, signal)
    },
  }
}

/** The error for a file of a layout that is not there. */
export function missing(name: string, shown: string): ImageError {
  return new ImageError('IMAGE_BLOB_MISSING', `${name} is not in ${shown}`)
}

function readFile(
  file: string,
  maxBytes: number,
  tooLarge: 'IMAGE_TOO_LARGE' | 'IMAGE_SIZE_MISMATCH',
): Buffer | undefined {
  let fd: number | undefined
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
    const stat = fs.fstatSync(fd)
    if (!stat.isFile()) throw new ImageError('IMAGE_SOURCE_BAD', `${file} is not a regular file`)
    if (stat.size > maxBytes) throw large(file, stat.size, maxBytes, tooLarge)
    return fs.readFileSync(fd)
  } catch (cause) {
    if (cause instanceof ImageError) throw cause
    if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ENOTDIR') return undefined
    throw new ImageError('IMAGE_SOURCE_BAD', `cannot read ${file}: ${messageOf(cause)}`, { cause })
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

function large(
  what: string,
  sizeBytes: number,
  maxBytes: number,
  code: 'IMAGE_TOO_LARGE' | 'IMAGE_SIZE_MISMATCH',
): ImageError {
  return new ImageError(code, `${what} has ${sizeBytes} bytes, ${maxBytes} are allowed`)
}
