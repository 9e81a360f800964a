import fs from 'node:fs'
import path from 'node:path'

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

/** A part of a given file, or all of it. */
export function streamGiven(
  file: string,
  options: { readonly start?: number; readonly end?: number; readonly signal?: AbortSignal | undefined } = {},
): fs.ReadStream {
  const { signal, ...range } = options
  const fd = held.get(path.resolve(file))
  return fs.createReadStream(file, {
    highWaterMark: READ_BYTES,
    ...range,
    ...(signal && { signal }),
    // several streams may read one descriptor: each says where it is
    ...(fd !== undefined && { fd, autoClose: false, start: range.start ?? 0 }),
  })
}

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
