import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf, toHex } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import { ADMIN_GROUP, STORE_USER, type StoreOwners, storeOwners } from '../users/index.ts'
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

/**
 * The parts of a store with the modes they have where it is shared with the group `holdfast-admin`. All are sticky: what
 * one has written nobody but the user `holdfast`, whose directories they are, renames or removes; else an older word of
 * root could be put in the place of a newer one. Others may list names and images alone: who can open `cas` can hold
 * the store's lock.
 */
const PARTS: readonly (readonly [name: string, sharedMode: number])[] = [
  ['cas', 0o3771],
  ['cas/sha256', 0o3771],
  ['images', 0o3775],
  ['refs', 0o3775],
  ['trees', 0o3771],
  ['tmp', 0o3771],
]
/** Who may look gets in; what is not for them is closed further in. */
const DIRECTORY_MODE = 0o750

/**
 * Opens the store and makes what is missing of it. Where root makes it, it is the user `holdfast`'s, shared with the
 * group `holdfast-admin`, if there are both; else root's alone.
 *
 * @throws ImageError IMAGE_STORE_FAILED
 */
export function openImageStore(dir: string): ImageStore {
  const store = { dir: path.resolve(dir) }
  storing(store, () => {
    const missing = PARTS.filter(([part]) => !fs.existsSync(path.join(store.dir, part)))
    if (missing.length === 0) return
    const owners = process.geteuid?.() === 0 ? storeOwners() : undefined
    if (!fs.existsSync(store.dir)) {
      fs.mkdirSync(store.dir, { recursive: true, mode: DIRECTORY_MODE })
      if (owners !== undefined) fs.chownSync(store.dir, 0, owners.lookGroup)
      fs.chmodSync(store.dir, DIRECTORY_MODE) // whatever the caller's mask
    }
    for (const [part, mode] of missing) makePart(path.join(store.dir, part), mode, owners)
  })
  return store
}

/**
 * Nothing of it is anybody's but root's before it is as it should be. `cas` is that user's already, who may put a link in
 * the place of what was made in it: so rights are given to what was opened, which no link led to.
 */
function makePart(directory: string, sharedMode: number, owners: StoreOwners | undefined): void {
  try {
    fs.mkdirSync(directory, { mode: DIRECTORY_MODE })
  } catch (err) {
    if (codeOf(err) === 'EEXIST') return // another command was first
    throw err
  }
  if (owners === undefined) return
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants
  const fd = fs.openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  try {
    fs.fchmodSync(fd, sharedMode)
    fs.fchownSync(fd, owners.user.uid, owners.adminGroup)
  } finally {
    fs.closeSync(fd)
  }
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

/** The hash tree of that tree (hash-tree.ts). */
export function hashTreePath(store: ImageStore, rootHash: string): string {
  return path.join(store.dir, 'trees', `${rootHash}.verity`)
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
  return readOwnedFile(file, maxBytes)?.bytes
}

/** As readSmallFile, together with whose file it is. */
export function readOwnedFile(
  file: string,
  maxBytes: number,
): { readonly bytes: Buffer; readonly uid: number } | undefined {
  let fd: number | undefined
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
    const stat = fs.fstatSync(fd)
    if (!stat.isFile()) throw new ImageError('IMAGE_STORE_FAILED', `${file} is not a regular file`)
    if (stat.size > maxBytes) {
      throw new ImageError('IMAGE_TOO_LARGE', `${file} has ${stat.size} bytes, at most ${maxBytes} are allowed`)
    }
    return { bytes: readUpTo(fd, stat.size), uid: stat.uid }
  } catch (cause) {
    if (cause instanceof ImageError) throw cause
    if (codeOf(cause) === 'ENOENT') return undefined
    throw new ImageError('IMAGE_STORE_FAILED', `cannot read ${file}: ${messageOf(cause)}`, { cause })
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

/** What was there when its size was asked for: whose file it is may write to it meanwhile, without an end. */
function readUpTo(fd: number, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes)
  let at = 0
  for (let n = -1; at < sizeBytes && n !== 0; at += n) n = fs.readSync(fd, bytes, at, sizeBytes - at, at)
  return bytes.subarray(0, at)
}

/**
 * A private directory under `tmp/` for one operation; the caller removes it. Its name tells whose it is, so that what a
 * killed command left behind can be told from what a running one needs (stale-work.ts).
 */
export function makeWorkDirectory(store: ImageStore): string {
  const dir = path.join(store.dir, 'tmp', `${ownerMark(process.pid)}.${randomBytes(8).toString('hex')}`)
  // readable for who collects garbage, as pins are in it
  storing(store, () => fs.mkdirSync(dir, { mode: 0o750 }))
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
 *
 * @param taken see moveIntoPlace
 */
export function writeFileDurably(store: ImageStore, relative: string, bytes: Uint8Array, taken: () => void): void {
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
    moveIntoPlace(store, temporary, path.join(store.dir, relative), taken)
  } finally {
    fs.rmSync(work, { recursive: true, force: true })
  }
}

/**
 * Renames a complete, fsynced file of a work directory to its name and fsyncs the directory that now holds it. Who may
 * enter the store may read it; nobody writes to it again.
 *
 * @param taken called where the name is another user's file, which this one may not replace
 */
export function moveIntoPlace(store: ImageStore, from: string, to: string, taken: () => void = () => {}): void {
  storing(store, () => {
    fs.chmodSync(from, 0o444)
    try {
      fs.renameSync(from, to)
    } catch (err) {
      if (!isOfAnother(to, err)) throw err
      // named by its content: what is there is the same, or is found out whenever it is read
      fs.rmSync(from)
      taken()
      return
    }
    syncDirectory(path.dirname(to))
  })
}

/** In a sticky directory the kernel refuses to replace what is another user's (rename(2), EPERM). */
function isOfAnother(file: string, err: unknown): boolean {
  const code = codeOf(err)
  if (code !== 'EPERM' && code !== 'EACCES') return false
  const found = fs.lstatSync(file, { throwIfNoEntry: false })
  return found !== undefined && found.uid !== process.geteuid?.()
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
  const denied = code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
  const hint = denied
    ? `; be root or a member of ${ADMIN_GROUP}, with a --dir that ${STORE_USER} can reach and config/setup-users.sh has set up`
    : ''
  return new ImageError('IMAGE_STORE_FAILED', `${messageOf(err)}${hint}`, { cause: err })
}
