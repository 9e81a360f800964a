import fs from 'node:fs'
import path from 'node:path'
import { readLocalFile } from './aci.ts'
import { compressionOf, decompress } from './decompress.ts'
import { isDockerArchive, openDockerArchive } from './docker-archive.ts'
import { ImageError } from './errors.ts'
import { layoutInArchive } from './layout-files.ts'
import { LIMITS } from './limits.ts'
import { openOciLayout } from './oci-layout.ts'
import type { ImageReference } from './reference.ts'
import type { ImageSource } from './source.ts'
import { type ImageStore, storing } from './store.ts'
import { indexTar } from './tar-index.ts'

/**
 * Opens an archive of images: of docker, or an OCI layout in a tar. One that is compressed is decompressed into the
 * work directory first, since its parts are read in another order than they lie in it.
 *
 * @param work a private directory under the store's tmp
 * @throws ImageError
 */
export async function openImageArchive(
  store: ImageStore,
  { file, format, ref }: Extract<ImageReference, { kind: 'archive' }>,
  work: string,
  signal?: AbortSignal,
): Promise<ImageSource> {
  const plain = await decompressed(store, file, work, signal)
  const index = await indexTar(plain, file, signal)
  const docker = format === 'docker' || (format === 'any' && isDockerArchive(index))
  if (docker) return openDockerArchive(index, ref)
  if (!index.members.has('oci-layout')) {
    throw new ImageError('IMAGE_SOURCE_BAD', `${file} holds no images: it has neither oci-layout nor manifest.json`)
  }
  return openOciLayout(layoutInArchive(index, signal), ref)
}

/** @returns the file itself where it is not compressed */
async function decompressed(
  store: ImageStore,
  file: string,
  work: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  let start: Buffer = Buffer.alloc(0)
  for await (const piece of readLocalFile(file, signal)) {
    start = piece.subarray(0, 6)
    break
  }
  const compression = compressionOf(start)
  if (compression === 'none') return file
  const plain = path.join(work, 'archive.tar')
  const out = fs.openSync(plain, 'wx', 0o600)
  try {
    for await (const piece of decompress(readLocalFile(file, signal), compression, file, LIMITS.unpackedBytes)) {
      storing(store, () => {
        for (let at = 0; at < piece.length; ) at += fs.writeSync(out, piece, at)
      })
    }
  } finally {
    fs.closeSync(out)
  }
  return plain
}
