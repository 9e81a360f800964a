import fs from 'node:fs'
import { canonicalJson, utf8 } from '../../attestation/base/index.ts'
import { readAci } from './aci.ts'
import { appcManifest } from './appc-export.ts'
import { ImageError } from './errors.ts'
import type { StoredImage } from './image.ts'
import { makeTarget } from './new-target.ts'
import { blobPath, type ImageStore } from './store.ts'
import { plainFile, TAR_END, tarHeader, tarPadding } from './tar-writer.ts'
import { treeEntries } from './tree-entries.ts'
import { openVerifiedTree } from './verify.ts'

/**
 * Writes an image as an ACI, uncompressed. An ACI comes out with the image ID it has, whether it came compressed or
 * not; an OCI image becomes one `manifest` and its rendered files, the same bytes each time.
 *
 * @param fd a file, or a pipe
 * @throws ImageError, or what writing throws
 */
export async function writeAci(store: ImageStore, image: StoredImage, fd: number): Promise<void> {
  for await (const piece of image.kind === 'aci' ? aciBytes(store, image) : ociAsAci(store, image)) {
    for (let at = 0; at < piece.length; ) at += fs.writeSync(fd, piece, at)
  }
}

/** As writeAci, to a file that is there whole or not at all; `target` is absolute. @throws ImageError */
export function exportImage(store: ImageStore, image: StoredImage, target: string, overwrite: boolean): Promise<void> {
  return exportFile(target, overwrite, (fd) => writeAci(store, image, fd))
}

/** Makes the file for an export that another process writes, perhaps. @throws ImageError, or what `write` throws */
export function exportFile(target: string, overwrite: boolean, write: (fd: number) => Promise<void>): Promise<void> {
  return makeTarget(target, overwrite, async (temporary) => {
    const fd = fs.openSync(temporary, 'wx', 0o644)
    try {
      await write(fd)
      fs.fsyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
  })
}

/** The uncompressed archive of an ACI. @throws ImageError IMAGE_BLOB_MISSING where it was not kept */
export function aciBytes(store: ImageStore, { id, origin }: StoredImage): AsyncGenerator<Buffer> {
  const digest = origin.archiveDigest
  const size = digest === undefined ? undefined : fs.statSync(blobPath(store, digest), { throwIfNoEntry: false })?.size
  if (digest === undefined || size === undefined) {
    throw new ImageError('IMAGE_BLOB_MISSING', `the archive of ${id} is not in the store; fetch the image again`)
  }
  return readAci(store, { digest, sizeBytes: size })
}

async function* ociAsAci(store: ImageStore, image: StoredImage): AsyncGenerator<Buffer> {
  const { fd } = openVerifiedTree(store, image.treeDigest, { remember: false })
  try {
    const name = image.origin.name.replace(/^[a-z-]+:(\/\/)?/, '').replace(/[:@][^/]*$/, '')
    const manifest = utf8(canonicalJson(appcManifest(image.manifest, name, fd)))
    yield tarHeader(plainFile('manifest', manifest.length))
    yield Buffer.from(manifest)
    yield tarPadding(manifest.length)
    for (const { entry, data } of treeEntries(fd)) {
      const path = entry.path === '.' ? 'rootfs/' : `rootfs/${entry.path}${entry.type === 'directory' ? '/' : ''}`
      const linkPath = entry.type === 'hardlink' ? `rootfs/${entry.linkPath}` : entry.linkPath
      yield tarHeader({ ...entry, path, linkPath })
      yield* data
      yield tarPadding(entry.size)
    }
    yield TAR_END
  } finally {
    fs.closeSync(fd)
  }
}
