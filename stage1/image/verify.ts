import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { writersOf } from '../../native/process/index.ts'
import { rootHashOf, type TreeDigest } from '../manifest/index.ts'
import { STORE_USER } from '../users/index.ts'
import { ImageError } from './errors.ts'
import { type ImageStore, treePath } from './store.ts'
import { treeDigestOf } from './tree-digest.ts'

/**
 * A rendered tree that is what its digest says. The caller closes `fd`, and mounts that descriptor and nothing else.
 */
export interface VerifiedTree {
  readonly fd: number
  /** Where it was opened; for messages only, as another file may be there by now. */
  readonly path: string
  /**
   * `full-file`: the whole file was hashed now. `stat-cache`: it was hashed earlier in this boot, and device, inode,
   * size, modification and change time are still the same. Part of what is measured.
   */
  readonly verification: 'full-file' | 'stat-cache'
}

/** Where verifications of this boot are remembered. */
const DEFAULT_VERIFIED_DIR = '/run/holdfast/verified'

/**
 * A file that changed so recently may change again within the same tick of the kernel's clock (4 ms and less) without
 * its times telling, so its verification is not remembered.
 */
const UNSETTLED_MS = 20

/**
 * Opens a rendered tree and proves that it is what its digest says. Root on this machine can still write to the file
 * afterwards; the kernel would have to enforce the hash (dm-verity, fs-verity) to prevent that.
 *
 * What root opens for a launch must not change under it: a file that is another user's becomes root's, and nobody may have it
 * open for writing.
 *
 * @param options.sizeBytes refuses a file of another size before it is read
 * @param options.verifiedDir directory of remembered verifications, made when it is missing; 0700 and the caller's own
 * @param options.remember false hashes the file whatever is remembered, and remembers nothing
 * @throws ImageError IMAGE_TREE_MISSING, IMAGE_TREE_CHANGED, IMAGE_RECORD_BAD for another size, IMAGE_CACHE_UNSAFE,
 *   IMAGE_STORE_FAILED
 */
export function openVerifiedTree(
  store: ImageStore,
  digest: TreeDigest,
  options: { readonly verifiedDir?: string; readonly remember?: boolean; readonly sizeBytes?: number } = {},
): VerifiedTree {
  const file = treePath(store, rootHashOf(digest))
  const fd = openTree(file)
  try {
    const found = fs.fstatSync(fd)
    if (!found.isFile()) throw new ImageError('IMAGE_TREE_CHANGED', `${file} is not a regular file; ${REMEDY}`)
    if (options.sizeBytes !== undefined && found.size !== options.sizeBytes) {
      throw new ImageError(
        'IMAGE_RECORD_BAD',
        `${file} has ${found.size} bytes, its image's record says ${options.sizeBytes}; fetch the image again`,
      )
    }
    if (process.geteuid?.() === 0) takeOver(fd, file)
    const before = fs.fstatSync(fd, { bigint: true })
    const cacheDir = options.remember === false ? undefined : openCache(options.verifiedDir ?? DEFAULT_VERIFIED_DIR)
    const cache = cacheDir && path.join(cacheDir, rootHashOf(digest))
    const state = stateOf(before)
    if (cache !== undefined && readCache(cache) === state) return { fd, path: file, verification: 'stat-cache' }
    if (process.geteuid?.() === 0) refuseWriters(fd, file)
    const hashed = hashTree(fd, file, Number(before.size))
    if (hashed !== digest) throw new ImageError('IMAGE_TREE_CHANGED', `${file} is ${hashed} now; ${REMEDY}`)
    if (stateOf(fs.fstatSync(fd, { bigint: true })) !== state) {
      throw new ImageError('IMAGE_TREE_CHANGED', `${file} was written to while it was verified; ${REMEDY}`)
    }
    if (cache !== undefined && Date.now() - Number(before.ctimeMs) > UNSETTLED_MS) writeCache(cache, state)
    return { fd, path: file, verification: 'full-file' }
  } catch (err) {
    fs.closeSync(fd)
    throw err
  }
}

const REMEDY = 'remove it, fetch the image again, and find out who changed it'

/** @throws ImageError IMAGE_TREE_MISSING, IMAGE_TREE_CHANGED, IMAGE_STORE_FAILED */
export function openTree(file: string): number {
  try {
    return fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') {
      throw new ImageError('IMAGE_TREE_MISSING', `${file} is gone; fetch the image again`, { cause })
    }
    if (codeOf(cause) === 'ELOOP')
      throw new ImageError('IMAGE_TREE_CHANGED', `${file} is a symlink; ${REMEDY}`, { cause })
    throw new ImageError('IMAGE_STORE_FAILED', `cannot open ${file}: ${messageOf(cause)}`, { cause })
  }
}

/**
 * Makes a tree root's: whose file it is can open it for writing and put its times back. Only rights are taken from it,
 * none are given, and only if it has no other name: it may be anybody's file that was put in this place.
 */
function takeOver(fd: number, file: string): void {
  const { uid, mode, nlink } = fs.fstatSync(fd)
  if (uid === 0 && (mode & 0o022) === 0) return
  if (nlink !== 1) throw new ImageError('IMAGE_TREE_CHANGED', `${file} has ${nlink} names; ${REMEDY}`)
  refuseWriters(fd, file)
  try {
    fs.fchownSync(fd, 0, -1)
    fs.fchmodSync(fd, mode & 0o444)
  } catch (cause) {
    throw new ImageError('IMAGE_STORE_FAILED', `cannot make ${file} root's: ${messageOf(cause)}`, { cause })
  }
}

/**
 * Before the hashing that counts, each time: who had it open for writing when it became root's has it open still. Where
 * the file system cannot tell, a file that was root's from the beginning is good all the same.
 */
function refuseWriters(fd: number, file: string): void {
  const writers = writersOf(fd)
  if (writers === 'some') throw new ImageError('IMAGE_TREE_CHANGED', `somebody has ${file} open for writing; ${REMEDY}`)
  if (writers === 'unknown' && fs.fstatSync(fd).uid !== 0) {
    throw new ImageError(
      'IMAGE_STORE_FAILED',
      `the file system of ${file} does not tell who has it open for writing (no leases); have root fetch the image, without a user ${STORE_USER}`,
    )
  }
}

function hashTree(fd: number, file: string, sizeBytes: number): TreeDigest {
  try {
    return treeDigestOf(fd, sizeBytes)
  } catch (cause) {
    if (!(cause instanceof RangeError)) {
      throw new ImageError('IMAGE_STORE_FAILED', `cannot read ${file}: ${messageOf(cause)}`, { cause })
    }
    throw new ImageError('IMAGE_TREE_CHANGED', `${file} is no rendered tree: ${cause.message}; ${REMEDY}`, { cause })
  }
}

/** Everything that changes when a file does, and the boot in which it was seen: inode numbers outlive neither. */
function stateOf(s: fs.BigIntStats): string {
  const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  return `${boot} dev=${s.dev} ino=${s.ino} size=${s.size} mtimeNs=${s.mtimeNs} ctimeNs=${s.ctimeNs}\n`
}

/** Makes sure that nobody else can have written to the cache: what is in it replaces hashing. */
function openCache(dir: string): string {
  try {
    // what it lies in is the agent's run directory, whose socket others than root may reach
    fs.mkdirSync(path.dirname(dir), { recursive: true, mode: 0o755 })
    fs.mkdirSync(dir, { recursive: true, mode: 0o700 })
    const stat = fs.lstatSync(dir)
    if (!stat.isDirectory() || stat.uid !== process.geteuid?.() || (stat.mode & 0o7777) !== 0o700) {
      throw new ImageError(
        'IMAGE_CACHE_UNSAFE',
        `${dir} must be a directory of the caller's own with mode 0700; remove it`,
      )
    }
    return dir
  } catch (cause) {
    if (cause instanceof ImageError) throw cause
    throw new ImageError('IMAGE_STORE_FAILED', `cannot use ${dir}: ${messageOf(cause)}`, { cause })
  }
}

function readCache(file: string): string | undefined {
  let fd: number
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined
    throw new ImageError('IMAGE_CACHE_UNSAFE', `${file} is no file of ours (${messageOf(cause)}); remove it`, { cause })
  }
  try {
    const s = fs.fstatSync(fd)
    if (!s.isFile() || s.uid !== process.geteuid?.() || (s.mode & 0o7777) !== 0o600 || s.nlink !== 1 || s.size > 512) {
      throw new ImageError(
        'IMAGE_CACHE_UNSAFE',
        `${file} must be a small file of the caller's own with mode 0600; remove it`,
      )
    }
    return fs.readFileSync(fd, 'latin1')
  } finally {
    fs.closeSync(fd)
  }
}

/** Not fsynced: it is gone after the boot anyway. Renamed, so that a reader sees all of it or none. */
function writeCache(file: string, state: string): void {
  const temporary = `${file}.${process.pid}`
  try {
    fs.rmSync(temporary, { force: true })
    fs.writeFileSync(temporary, state, { flag: 'wx', mode: 0o600 })
    fs.chmodSync(temporary, 0o600)
    fs.renameSync(temporary, file)
  } catch (cause) {
    throw new ImageError('IMAGE_STORE_FAILED', `cannot write ${file}: ${messageOf(cause)}`, { cause })
  }
}
