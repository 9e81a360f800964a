import fs from 'node:fs'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { NetworkError } from './errors.ts'

/** A file as it was when it was read. */
export interface RootFile {
  readonly bytes: Uint8Array
  /** Equal as long as nobody writes to the file or puts another in its place. */
  readonly state: string
}

/**
 * Reads a file that is executed as root or says what is: nobody but root may have written it.
 *
 * @returns undefined where there is none
 * @throws NetworkError NETWORK_CONFIG_UNSAFE, NETWORK_CONFIG_UNREADABLE
 */
export function readRootFile(file: string, maxBytes: number): RootFile | undefined {
  let fd: number | undefined
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
    const stat = fs.fstatSync(fd, { bigint: true })
    if (!stat.isFile() || stat.size > maxBytes) {
      throw new NetworkError('NETWORK_CONFIG_UNREADABLE', `${file} is not a regular file of at most ${maxBytes} bytes`)
    }
    if (stat.uid !== 0n || (stat.mode & 0o022n) !== 0n) {
      throw new NetworkError('NETWORK_CONFIG_UNSAFE', `${file}: others than root may write to it`, {
        hint: `chown root ${file} && chmod go-w ${file}, after a look at what it holds.`,
      })
    }
    return { bytes: fs.readFileSync(fd), state: stateOf(stat) }
  } catch (err) {
    if (err instanceof NetworkError) throw err
    if (codeOf(err) === 'ENOENT' || codeOf(err) === 'ENOTDIR') return undefined
    throw new NetworkError('NETWORK_CONFIG_UNREADABLE', `${file}: ${messageOf(err)}`, { cause: err })
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

/** The state of the file that has this name now; empty where there is none. */
export function rootFileState(file: string): string {
  const stat = fs.statSync(file, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? '' : stateOf(stat)
}

function stateOf(s: fs.BigIntStats): string {
  return `${s.dev} ${s.ino} ${s.size} ${s.mtimeNs} ${s.ctimeNs}`
}
