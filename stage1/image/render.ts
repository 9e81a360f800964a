import { spawn } from 'node:child_process'
import { open, rm } from 'node:fs/promises'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { rootHashOf } from '../manifest/index.ts'
import { ImageError } from './errors.ts'
import { type FetchWork, hold, type Rendered } from './fetch-work.ts'
import { moveIntoPlace, storeError, treePath } from './store.ts'
import { treeDigestOf } from './tree-digest.ts'

/** Of every rendered file: it names the format, not the image, which the tree digest does. */
const FILE_SYSTEM_UUID = '8e9f1a52-6c1b-5d0e-9a57-0b1e5c0a7e01'
/** 2100-01-01: the build time in the superblock, and the latest time a file may have. */
const BUILD_TIME = '4102444800'

/**
 * Renders an unpacked tree into one read-only EROFS file in `trees/`, by the rules of version 1 (README.md).
 *
 * @param root the unpacked tree, which is removed
 * @param withXattrs whether the image has extended attributes; without, those that the host put there (labels) are left
 * out
 * @throws ImageError IMAGE_TOOL_MISSING, IMAGE_NO_SPACE, IMAGE_RENDER_FAILED, IMAGE_STORE_FAILED
 */
export async function renderTree(work: FetchWork, root: string, withXattrs: boolean): Promise<Rendered> {
  const { store } = work
  const output = path.join(work.directory, 'tree.erofs')
  await makeErofs(root, output, withXattrs)
  // Taking thousands of files away waits for a disk's journal, and so does forcing one to the disk: both at once.
  const { digest, sizeBytes } = await Promise.all([hashAndSync(output), rm(root, { recursive: true, force: true })])
    .then(([rendered]) => rendered)
    .catch((err: unknown) => Promise.reject(storeError(store, err)))
  await hold(work, [{ kind: 'tree', hex: rootHashOf(digest) }])
  moveIntoPlace(store, output, treePath(store, rootHashOf(digest)))
  return { digest, sizeBytes }
}

/** The disk works while the file is hashed from memory. */
async function hashAndSync(file: string): Promise<Rendered> {
  const handle = await open(file, 'r')
  try {
    await handle.chmod(0o444)
    const synced = handle.sync()
    synced.catch(() => {}) // awaited below, but not when hashing fails
    const { size } = await handle.stat()
    const digest = treeDigestOf(handle.fd, size)
    await synced
    return { digest, sizeBytes: size }
  } finally {
    await handle.close()
  }
}

async function makeErofs(root: string, output: string, withXattrs: boolean): Promise<void> {
  const options = ['--quiet', '--preserve-mtime', `-x${withXattrs ? 1 : -1}`, '-U', FILE_SYSTEM_UUID]
  // Relative to the root, so that the deepest path of an image fits mkfs.erofs' own buffers.
  const child = spawn('mkfs.erofs', [...options, output, '.'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'], SOURCE_DATE_EPOCH: BUILD_TIME, LC_ALL: 'C', TZ: 'UTC' },
  })
  let text = ''
  child.stderr.on('data', (piece: Buffer) => {
    if (text.length < 4096) text += piece.toString('latin1')
  })
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  }).catch((cause: unknown) => {
    if (codeOf(cause) !== 'ENOENT')
      throw new ImageError('IMAGE_RENDER_FAILED', `mkfs.erofs: ${messageOf(cause)}`, { cause })
    throw new ImageError('IMAGE_TOOL_MISSING', 'mkfs.erofs is not installed (Debian: apt install erofs-utils)', {
      cause,
    })
  })
  if (status === 0) return
  const why = text.trim().slice(-500)
  if (/No space left|Disk quota/.test(why)) {
    throw new ImageError('IMAGE_NO_SPACE', 'no room to render the image; make room in the data directory and try again')
  }
  throw new ImageError('IMAGE_RENDER_FAILED', `mkfs.erofs ended with ${status ?? child.signalCode}: ${why}`)
}
