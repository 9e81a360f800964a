import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { canonicalJson, codeOf, printable } from '../../attestation/base/index.ts'
import { tryFlock } from '../../native/process/index.ts'
import { findImage, type ImageStore, openVerifiedTree, type StoredImage } from '../image/index.ts'
import { parsePodManifest } from '../manifest/index.ts'
import { PodError } from './errors.ts'
import { DISK_FILE } from './guest-disk.ts'
import { readPodFile } from './pod-file.ts'
import type { Pod } from './pod-list.ts'
import { openPod } from './pod-lock.ts'
import { privateUsersWanted } from './private-users.ts'

/**
 * In a mount namespace of its own, which takes its mounts with it. The app's layer lies over the image's tree as it did
 * in the pod, but as a second lower one: nothing can be written to either.
 */
const SCRIPT = `
mount -t erofs -o ro /proc/self/fd/3 "$1/tree" 2>/dev/null || mount -t erofs -o ro,loop /proc/self/fd/3 "$1/tree"
mount -t overlay -o "ro,lowerdir=$1/upper:$1/tree" overlay "$1/aci/rootfs"
exec tar --sort=name --numeric-owner --xattrs --xattrs-include=user.* --xattrs-include=security.capability \\
  -C "$1/aci" -cf - manifest rootfs
`

/**
 * Writes the root of an ended app, with all that it changed, as an ACI: the image's manifest, and `rootfs`. What was in
 * volumes is not in it.
 *
 * @param out path of the file; it is there whole or not at all
 * @throws PodError POD_BUSY for a pod that has not ended, POD_EXPORT_FAILED; ImageError where the image is gone
 */
export async function exportApp(
  store: ImageStore,
  pod: Pod,
  app: { readonly name: string; readonly imageId: string },
  out: { readonly path: string; readonly overwrite: boolean },
): Promise<void> {
  const ended = pod.state === 'exited' || (pod.state === 'garbage' && pod.directory === 'exited-garbage')
  const lock = ended ? openPod(pod.path) : undefined
  if (lock === undefined)
    throw new PodError('POD_BUSY', `pod ${pod.uuid} is ${pod.state}; only what has ended can be exported`)
  try {
    refusePrivateUsers(pod)
    refuseVirtualMachine(pod)
    if (!tryFlock(lock, 'shared')) throw new PodError('POD_BUSY', `pod ${pod.uuid} is being removed`) // gc leaves it meanwhile
    const image = findImage(store, app.imageId, '/')
    const tree = openVerifiedTree(store, image.treeDigest)
    const work = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-export-'))
    try {
      for (const name of ['tree', 'aci/rootfs']) fs.mkdirSync(path.join(work, name), { recursive: true })
      fs.symlinkSync(path.join(pod.path, 'apps', app.name, 'upper'), path.join(work, 'upper')) // its path may hold a colon
      fs.writeFileSync(path.join(work, 'aci/manifest'), renderedManifest(image), { mode: 0o644 })
      await writeWhole(out, (fd) => archive(work, tree.fd, fd))
    } finally {
      fs.closeSync(tree.fd)
      fs.rmSync(work, { recursive: true, force: true })
    }
  } finally {
    fs.closeSync(lock)
  }
}

/** Its layer has the owners that the pod's users have outside, and over it the image's would be those of nobody. */
function refusePrivateUsers(pod: Pod): void {
  const manifest = readPodFile(pod.path, 'pod')
  if (manifest !== undefined && privateUsersWanted(parsePodManifest(manifest))) {
    throw new PodError('POD_UNSUPPORTED', `pod ${pod.uuid} has private users; its apps cannot be exported`)
  }
}

/** Its layer was never a directory of the host. */
function refuseVirtualMachine(pod: Pod): void {
  const isThere = (name: string): boolean => fs.existsSync(path.join(pod.path, name))
  if (!isThere('plan/pod.cpio')) return // what its guest is told
  const disk = path.join(pod.path, DISK_FILE)
  const [where, hint] = isThere(DISK_FILE)
    ? [
        `is on its disk ${disk}`,
        'debugfs(8) reads it; a guest wrote it, so do not have the kernel of the host mount it.',
      ]
    : ['was in its memory and is gone', 'Give such a pod a volume for what is to last, or a disk: --disk SIZE.']
  const what = `pod ${pod.uuid} was a virtual machine, and what its apps wrote ${where}; they cannot be exported`
  throw new PodError('POD_UNSUPPORTED', what, { hint })
}

/** What the image took from others is in the root itself now. */
function renderedManifest({ manifest }: StoredImage): string {
  const own = Object.entries(manifest).filter(([name]) => name !== 'dependencies' && name !== 'pathWhitelist')
  return canonicalJson(Object.fromEntries(own))
}

async function archive(work: string, tree: number, out: number): Promise<void> {
  const args = ['--mount', '--propagation', 'private', 'sh', '-ec', SCRIPT, 'sh', work]
  const child = spawn('unshare', args, { stdio: ['ignore', out, 'pipe', tree] })
  let said = ''
  child.stderr?.on('data', (piece: Buffer) => {
    said = (said + piece.toString('utf8')).slice(0, 4000)
  })
  const [status] = await once(child, 'close')
  if (status === 0) return
  throw new PodError('POD_EXPORT_FAILED', `the app's root could not be archived: ${printable(said.trim(), 1000)}`)
}

async function writeWhole(
  out: { readonly path: string; readonly overwrite: boolean },
  write: (fd: number) => Promise<void>,
): Promise<void> {
  const part = `${out.path}.${process.pid}.part`
  const fd = fs.openSync(part, 'wx', 0o644)
  try {
    await write(fd)
    fs.fsyncSync(fd)
    if (out.overwrite) fs.renameSync(part, out.path)
    else fs.linkSync(part, out.path)
  } catch (err) {
    if (codeOf(err) !== 'EEXIST') throw err
    throw new PodError('POD_EXPORT_FAILED', `${out.path} is there already`, { cause: err, hint: 'Say --overwrite.' })
  } finally {
    fs.closeSync(fd)
    fs.rmSync(part, { force: true })
  }
}
