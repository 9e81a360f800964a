import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { rootHashOf, type TreeDigest } from '../manifest/index.ts'
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
 * @param options.verifiedDir directory of remembered verifications, made when it is missing; 0700 and the caller's own
 * @param options.remember false hashes the file whatever is remembered, and remembers nothing
 * @throws ImageError IMAGE_TREE_MISSING, IMAGE_TREE_CHANGED, IMAGE_CACHE_UNSAFE, IMAGE_STORE_FAILED
 */
export function openVerifiedTree(
  store: ImageStore,
  digest: TreeDigest,
  options: { readonly verifiedDir?: string; readonly remember?: boolean } = {},
): VerifiedTree {
  const file = treePath(store, rootHashOf(digest))
  const fd = openTree(file)
  try {
    const before = fs.fstatSync(fd, { bigint: true })
    if (!before.isFile()) throw new ImageError('IMAGE_TREE_CHANGED', `${file} is not a regular file; ${REMEDY}`)
    const cacheDir = options.remember === false ? undefined : openCache(options.verifiedDir ?? DEFAULT_VERIFIED_DIR)
    const cache = cacheDir && path.join(cacheDir, rootHashOf(digest))
    const state = stateOf(before)
    if (cache !== undefined && readCache(cache) === state) return { fd, path: file, verification: 'stat-cache' }
    const found = hashTree(fd, file, Number(before.size))
    if (found !== digest) throw new ImageError('IMAGE_TREE_CHANGED', `${file} is ${found} now; ${REMEDY}`)
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

function openTree(file: string): number {
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
