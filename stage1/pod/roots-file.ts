import fs from 'node:fs'

const MAX_BYTES = 1 << 20
const WRITABLE_BY_OTHERS = 0o022

/**
 * A file that decides whom stage0 believes: nobody but root may have written it.
 *
 * @returns its text
 * @throws Error that says why not, in words that go behind the file's name
 */
export function readRootsFile(file: string): string {
  const fd = fs.openSync(file, 'r')
  try {
    const stat = fs.fstatSync(fd)
    if (!stat.isFile()) throw new Error('not a file')
    if (stat.uid !== 0) throw new Error(`it belongs to user ${stat.uid} and not to root`)
    if ((stat.mode & WRITABLE_BY_OTHERS) !== 0) throw new Error('others than root may write it')
    if (stat.size > MAX_BYTES) throw new RangeError(`more than ${MAX_BYTES} bytes`)
    return fs.readFileSync(fd, 'utf8')
  } finally {
    fs.closeSync(fd)
  }
}
