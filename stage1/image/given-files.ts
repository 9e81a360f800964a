import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'

const READ_BYTES = 1024 * 1024

/**
 * What a command was given by path, opened while its process was still root: after that it is the user `holdfast`, who
 * may not reach it. Only what was named on the command line is held, and it is open for reading alone.
 */
const held = new Map<string, number>()

/** Opens a file or directory for later. What cannot be opened is not held: whoever reads it says what is wrong. */
export function holdGiven(file: string): void {
  try {
    const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
    const stat = fs.fstatSync(fd)
    if (stat.isFile() || stat.isDirectory()) held.set(path.resolve(file), fd)
    else fs.closeSync(fd)
  } catch {
    // see above
  }
}

/** A part of a given file, or all of it. @throws what opening and reading it throws */
export function streamGiven(
  file: string,
  options: { readonly start?: number; readonly end?: number; readonly signal?: AbortSignal | undefined } = {},
): AsyncIterable<Buffer> {
  const { signal, ...range } = options
  const fd = held.get(path.resolve(file))
  if (fd !== undefined) return piecesOf(fd, range.start ?? 0, range.end, signal)
  return fs.createReadStream(file, { highWaterMark: READ_BYTES, ...range, ...(signal && { signal }) })
}

/** A stream would close the descriptor when its reader has enough; and several may read one at the same time. */
async function* piecesOf(
  fd: number,
  start: number,
  end: number | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  for (let at = start; end === undefined || at <= end; ) {
    signal?.throwIfAborted()
    const length = end === undefined ? READ_BYTES : Math.min(READ_BYTES, end + 1 - at)
    const { bytesRead, buffer } = await read(fd, Buffer.allocUnsafeSlow(length), 0, length, at)
    if (bytesRead === 0) return
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}
const read = promisify(fs.read)

/** Runs with a descriptor of a given file. @throws what opening it throws */
export function withGiven<T>(file: string, work: (fd: number) => T): T {
  const fd = held.get(path.resolve(file))
  if (fd !== undefined) return work(fd)
  const own = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  try {
    return work(own)
  } finally {
    fs.closeSync(own)
  }
}

/**
 * A whole given file.
 * @throws RangeError for more than `maxBytes`, or for what is no file; what opening and reading it throws
 */
export function readGiven(file: string, maxBytes: number): Buffer {
  return withGiven(file, (fd) => {
    const stat = fs.fstatSync(fd)
    if (!stat.isFile()) throw new RangeError('is not a regular file')
    if (stat.size > maxBytes) throw new RangeError(`has ${stat.size} bytes, at most ${maxBytes} are read`)
    const bytes = Buffer.alloc(stat.size)
    let at = 0
    for (let n = -1; at < bytes.length && n !== 0; at += n) n = fs.readSync(fd, bytes, at, bytes.length - at, at)
    return bytes.subarray(0, at)
  })
}

/** By which path the files of a given directory are reached: by its descriptor nobody asks for the directories above. */
export function givenDirectory(directory: string): string {
  const fd = held.get(path.resolve(directory))
  return fd === undefined ? directory : `/proc/self/fd/${fd}`
}
