import { type FileHandle, mkdir, open, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { tryFlock } from '../../native/process/index.ts'
import { LaunchLogError } from './errors.ts'

/** One log file and its mark. Each call is one step on disk, so that tests can stop between any two. */
export interface StoredLog {
  size(): Promise<number>
  read(offset: number, length: number): Promise<Uint8Array>
  /** Writes all bytes or rejects; what was written of them by then is unknown. */
  write(offset: number, bytes: Uint8Array): Promise<void>
  truncate(size: number): Promise<void>
  /** When it resolves, everything written before survives a crash of the machine. */
  sync(): Promise<void>
  /** How much of the log is known to be in the register; 0 where the mark is missing or torn. */
  readMark(): Promise<number>
  /** Not synced: a mark that is too low only makes recovery look at more records. */
  writeMark(extended: number): Promise<void>
  close(): Promise<void>
}

/** Where the log files are; locked for as long as it is open. */
export interface LogStorage {
  open(name: string): Promise<StoredLog>
  close(): Promise<void>
}

/** Decimal digits and a newline: fixed width, so that a torn mark is recognised. */
const MARK_PATTERN = /^(\d{16})\n$/

/**
 * The launch logs in a directory, which is made (0700) where it does not exist and locked with flock(2): the kernel gives the lock
 * back however this process ends.
 *
 * @param akName attestation key of the TPM, lowercase hex. TPM2_Clear sets the counters that logs are named by to zero and takes the key: logs that
 *   were kept beside another one are moved into a directory of its name
 * @throws LaunchLogError LAUNCH_LOG_LOCKED, LAUNCH_LOG_STORAGE
 */
export async function openLogDirectory(directory: string, akName?: string): Promise<LogStorage> {
  const lock = await storage(`opening ${directory}`, async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    return open(join(directory, 'lock'), 'a', 0o600)
  })
  if (!tryFlock(lock.fd, 'exclusive')) {
    await lock.close()
    throw new LaunchLogError('LAUNCH_LOG_LOCKED', `another agent uses ${directory}; a node has one agent`)
  }
  try {
    if (akName !== undefined) await storage(`tidying ${directory}`, () => setAside(directory, akName))
  } catch (err) {
    await lock.close()
    throw err
  }
  return {
    open: (name) => openLogFile(directory, name),
    close: () => lock.close(),
  }
}

async function setAside(directory: string, akName: string): Promise<void> {
  const file = join(directory, 'key')
  const kept = await readFile(file, 'latin1').catch((err: unknown) => {
    if (codeOf(err) === 'ENOENT') return ''
    throw err
  })
  if (kept === akName) return
  if (/^[0-9a-f]{1,140}$/.test(kept)) {
    const aside = join(directory, kept.slice(0, 20))
    await mkdir(aside, { recursive: true, mode: 0o700 })
    for (const name of await readdir(directory)) {
      if (/\.cel(\.extended)?$/.test(name)) await rename(join(directory, name), join(aside, name))
    }
  }
  await writeFile(file, akName, { mode: 0o600 }) // last: whoever is cut off before does the rest the next time
}

async function openLogFile(directory: string, name: string): Promise<StoredLog> {
  const file = join(directory, name)
  const [log, mark] = await storage(`opening ${file}`, async () => {
    const handles = [await openRw(file), await openRw(`${file}.extended`)] as const
    await syncDirectory(directory) // the names must survive as well as the contents
    return handles
  })
  return {
    size: () => storage(`reading ${file}`, async () => (await log.stat()).size),
    read: (offset, length) => storage(`reading ${file}`, () => readFully(log, offset, length)),
    write: (offset, bytes) => storage(`writing ${file}`, () => writeFully(log, offset, bytes)),
    truncate: (size) => storage(`truncating ${file}`, () => log.truncate(size)),
    sync: () => storage(`syncing ${file}`, () => log.datasync()),
    readMark: () =>
      storage(`reading ${file}.extended`, async () => {
        const digits = MARK_PATTERN.exec((await readFully(mark, 0, 17)).toString('latin1'))?.[1]
        return digits === undefined ? 0 : Number(digits)
      }),
    writeMark: (extended) =>
      storage(`writing ${file}.extended`, () =>
        writeFully(mark, 0, Buffer.from(`${String(extended).padStart(16, '0')}\n`, 'latin1')),
      ),
    close: async () => {
      await log.close()
      await mark.close()
    },
  }
}

async function openRw(file: string): Promise<FileHandle> {
  try {
    return await open(file, 'r+')
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw err // node:fs rejects with ErrnoException only
    return open(file, 'wx+', 0o600)
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** @returns fewer bytes than asked for only where the file ends */
async function readFully(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  let at = 0
  while (at < length) {
    const { bytesRead } = await handle.read(bytes, at, length - at, offset + at)
    if (bytesRead === 0) return bytes.subarray(0, at)
    at += bytesRead
  }
  return bytes
}

/** write(2) may stop early, on a disk that is filling up for example. */
async function writeFully(handle: FileHandle, offset: number, bytes: Uint8Array): Promise<void> {
  let at = 0
  while (at < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, offset + at)
    at += bytesWritten
  }
}

async function storage<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw new LaunchLogError('LAUNCH_LOG_STORAGE', `${what}: ${messageOf(cause)}`, { cause })
  }
}
