import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf, toHex } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import { ImageError } from './errors.ts'

/**
 * The image part of the data directory (stage1/README.md). Nothing is locked: whatever is written is complete, on disk
 * and renamed into place, blobs and trees are named by their digest, and two commands that write the same name write
 * the same.
 */
export interface ImageStore {
  /** Absolute. */
  readonly dir: string
}

const PARTS = ['cas/sha256', 'images', 'refs', 'trees', 'tmp']

/**
 * Opens the store and makes what is missing of it.
 * @throws ImageError IMAGE_STORE_FAILED
 */
export function openImageStore(dir: string): ImageStore {
  const store = { dir: path.resolve(dir) }
  storing(store, () => {
    for (const part of PARTS) fs.mkdirSync(path.join(store.dir, part), { recursive: true, mode: 0o750 })
  })
  return store
}

/**
 * The store for those who only look, and so must not make one.
 * @returns undefined where nothing was fetched yet
 * @throws ImageError IMAGE_STORE_FAILED
 */
export function existingImageStore(dir: string): ImageStore | undefined {
  const store = { dir: path.resolve(dir) }
  return storing(store, () => fs.statSync(path.join(store.dir, 'images'), { throwIfNoEntry: false })) && store
}

/** @param digestText `sha256:<hex>`, already checked to be one */
export function blobPath(store: ImageStore, digestText: string): string {
  return path.join(store.dir, 'cas/sha256', digestText.slice('sha256:'.length))
}

/** @param rootHash 64 hex digits */
export function treePath(store: ImageStore, rootHash: string): string {
  return path.join(store.dir, 'trees', `${rootHash}.erofs`)
}

/**
 * A small blob, checked against its name.
 *
 * @throws ImageError IMAGE_BLOB_MISSING, IMAGE_TOO_LARGE, IMAGE_RECORD_BAD when the bytes are not the name's,
 * IMAGE_STORE_FAILED
 */
export function readBlob(store: ImageStore, digestText: string, maxBytes: number): Buffer {
  const file = blobPath(store, digestText)
  const bytes = readSmallFile(file, maxBytes)
  if (bytes === undefined)
    throw new ImageError('IMAGE_BLOB_MISSING', `${digestText} is not in the store; fetch the image again`)
  if (`sha256:${toHex(digest('sha256', bytes))}` !== digestText) {
    throw new ImageError('IMAGE_RECORD_BAD', `${file} was changed: it is not ${digestText}; fetch the image again`)
  }
  return bytes
}

/**
 * @returns the file's bytes, undefined where it is absent
 * @throws ImageError IMAGE_TOO_LARGE, IMAGE_STORE_FAILED (also for anything but a regular file: symlinks are not
 * followed)
 */
export function readSmallFile(file: string, maxBytes: number): Buffer | undefined {
  let fd: number | undefined
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
    const stat = fs.fstatSync(fd)
    if (!stat.isFile()) throw new ImageError('IMAGE_STORE_FAILED', `${file} is not a regular file`)
    if (stat.size > maxBytes) {
      throw new ImageError('IMAGE_TOO_LARGE', `${file} has ${stat.size} bytes, at most ${maxBytes} are allowed`)
    }
    return fs.readFileSync(fd)
  } catch (cause) {
    if (cause instanceof ImageError) throw cause
    if (codeOf(cause) === 'ENOENT') return undefined
    throw new ImageError('IMAGE_STORE_FAILED', `cannot read ${file}: ${messageOf(cause)}`, { cause })
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

/**
 * A private directory under `tmp/` for one operation; the caller removes it. Its name tells whose it is, so that what a
 * killed command left behind can be told from what a running one needs (stale-work.ts).
 */
export function makeWorkDirectory(store: ImageStore): string {
  const dir = path.join(store.dir, 'tmp', `${ownerMark(process.pid)}.${randomBytes(8).toString('hex')}`)
  storing(store, () => fs.mkdirSync(dir, { mode: 0o700 }))
  return dir
}

/** `boot.namespace.pid.start`: a PID may be used again, together with its start time it may not. */
export function ownerMark(pid: number): string {
  const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').slice(0, 8)
  const namespace = fs.readlinkSync('/proc/self/ns/pid').replaceAll(/[^0-9]/g, '')
  let start = 'gone'
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1')
    // proc(5): field 22; the second field is in parentheses and may hold spaces and parentheses itself
    start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 'gone'
  } catch (err) {
    if (codeOf(err) !== 'ENOENT' && codeOf(err) !== 'ESRCH') throw err
  }
  return `${boot}.${namespace}.${pid}.${start}`
}

/**
 * Writes a small file whole: temporary file, fsync, rename, fsync of the directory. Whoever reads it sees all or
 * nothing.
 */
export function writeFileDurably(store: ImageStore, relative: string, bytes: Uint8Array): void {
  const work = makeWorkDirectory(store)
  try {
    const temporary = path.join(work, 'file')
    storing(store, () => {
      const fd = fs.openSync(temporary, 'wx', 0o640)
      try {
        fs.writeFileSync(fd, bytes)
        fs.fsyncSync(fd)
      } finally {
        fs.closeSync(fd)
      }
    })
    moveIntoPlace(store, temporary, path.join(store.dir, relative))
  } finally {
    fs.rmSync(work, { recursive: true, force: true })
  }
}

/** Renames a complete, fsynced file to its name and fsyncs the directory that now holds it. */
export function moveIntoPlace(store: ImageStore, from: string, to: string): void {
  storing(store, () => {
    fs.renameSync(from, to)
    syncDirectory(path.dirname(to))
  })
}

/** fsync of a directory: what was renamed or removed in it stays so after a power cut. */
export function syncDirectory(directory: string): void {
  const fd = fs.openSync(directory, 'r')
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/** Runs file-system work on the store and gives its errors a code and a way out. */
export function storing<T>(store: ImageStore, work: () => T): T {
  try {
    return work()
  } catch (err) {
    throw storeError(store, err)
  }
}

/** The coded form of what the file system threw; a coded error stays as it is. */
export function storeError(store: ImageStore, err: unknown): ImageError {
  if (err instanceof ImageError) return err
  const code = codeOf(err)
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ImageError('IMAGE_NO_SPACE', `${store.dir} is full: ${messageOf(err)}; make room and try again`, {
      cause: err,
    })
  }
  const hint = code === 'EACCES' || code === 'EPERM' || code === 'EROFS' ? '; run as root, with a writable --dir' : ''
  return new ImageError('IMAGE_STORE_FAILED', `${messageOf(err)}${hint}`, { cause: err })
}
