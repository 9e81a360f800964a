import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { type ImageId, imageId } from '../manifest/index.ts'
import type { ExpectedBlob } from './blobs.ts'
import { compressionOf, decompress } from './decompress.ts'
import { ImageError } from './errors.ts'
import { LayerTree } from './layer-tree.ts'
import { LIMITS } from './limits.ts'
import { blobPath, type ImageStore } from './store.ts'
import { type TarEntry, type TarHandler, TarReader } from './tar.ts'
import { pathComponents, unsafe } from './tree-path.ts'
import { TreeHandler, Unpacker, verifiedBlob } from './unpack.ts'

/** What an ACI turned out to be. */
export interface UnpackedAci {
  readonly id: ImageId
  readonly manifest: Buffer
  readonly appliedXattrs: number
}

const READ_BYTES = 1024 * 1024

/** The bytes of a local file, for the store. */
export async function* readLocalFile(file: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
  try {
    const stream = fs.createReadStream(file, { highWaterMark: READ_BYTES, ...(signal && { signal }) })
    for await (const chunk of stream) yield chunk as Buffer // no encoding is set
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') throw new ImageError('IMAGE_NOT_FOUND', `${file} does not exist`, { cause })
    throw new ImageError('IMAGE_SOURCE_BAD', `cannot read ${file}: ${messageOf(cause)}`, { cause })
  }
}

/**
 * Unpacks an ACI's rootfs into an empty directory and reads its manifest, in one pass over the archive.
 * Source: App Container specification v0.8.11, "App Container Image": `manifest` and `rootfs/`, nothing else.
 *
 * @throws ImageError
 */
export async function unpackAci(
  store: ImageStore,
  blob: ExpectedBlob,
  root: string,
  options: { readonly stage1Program: string; readonly signal?: AbortSignal },
): Promise<UnpackedAci> {
  const unpacker = new Unpacker(options.stage1Program, root)
  try {
    const tree = new LayerTree(unpacker.emit, { whiteouts: false })
    const handler = new AciHandler(new TreeHandler(tree, unpacker))
    const reader = new TarReader(handler)
    const hash = createHash('sha512')
    const source = verifiedBlob(store, blob.digest, blob.sizeBytes, options.signal)
    const compression = compressionOf(firstBytes(blobPath(store, blob.digest)))
    for await (const chunk of decompress(source, compression, 'the ACI', LIMITS.unpackedBytes)) {
      hash.update(chunk)
      reader.push(chunk)
      await unpacker.drain()
    }
    reader.end()
    const manifest = handler.finish()
    tree.finish()
    await unpacker.finish()
    return { id: imageId(`sha512-${hash.digest('hex').slice(0, 64)}`), manifest, appliedXattrs: tree.appliedXattrs }
  } catch (err) {
    await unpacker.abandon()
    throw err
  }
}

/** Parts an ACI: the manifest is kept, what is under rootfs goes on without that prefix. */
class AciHandler implements TarHandler {
  readonly #rootfs: TreeHandler
  #manifest: Buffer[] | undefined
  #reading: 'manifest' | 'rootfs' = 'rootfs'
  #hasRootfs = false

  constructor(rootfs: TreeHandler) {
    this.#rootfs = rootfs
  }

  entry(entry: TarEntry): void {
    const [top, ...rest] = pathComponents(entry.path, 'name')
    if (top === undefined && entry.type === 'directory') return // './' says nothing of rootfs
    if (top === 'manifest' && rest.length === 0) {
      if (entry.type !== 'file') throw unsafe(entry.path, `the manifest is a ${entry.type}`)
      if (this.#manifest !== undefined) throw unsafe(entry.path, 'a second manifest')
      if (entry.size > LIMITS.aciManifestBytes) {
        throw new ImageError(
          'IMAGE_TOO_LARGE',
          `manifest of ${entry.size} bytes, at most ${LIMITS.aciManifestBytes} are allowed`,
        )
      }
      this.#manifest = []
      this.#reading = 'manifest'
      return
    }
    if (top !== 'rootfs') throw unsafe(entry.path, 'an ACI holds `manifest` and `rootfs` only')
    if (rest.length === 0 && entry.type !== 'directory') throw unsafe(entry.path, `rootfs is a ${entry.type}`)
    this.#hasRootfs = true
    this.#reading = 'rootfs'
    this.#rootfs.entry({ ...entry, path: rest.length === 0 ? '.' : rest.join('/'), linkPath: linkPathInRootfs(entry) })
  }

  data(bytes: Buffer): void {
    if (this.#reading === 'rootfs') this.#rootfs.data(bytes)
    else this.#manifest?.push(Buffer.from(bytes))
  }

  finish(): Buffer {
    if (this.#manifest === undefined) throw new ImageError('IMAGE_LAYER_BAD', 'the ACI has no manifest')
    if (!this.#hasRootfs) throw new ImageError('IMAGE_LAYER_BAD', 'the ACI has no rootfs')
    return Buffer.concat(this.#manifest)
  }
}

function linkPathInRootfs(entry: TarEntry): string {
  if (entry.type !== 'hardlink') return entry.linkPath
  const [top, ...rest] = pathComponents(entry.linkPath, 'hardlink target')
  if (top !== 'rootfs' || rest.length === 0) throw unsafe(entry.path, 'a hardlink to something outside of rootfs')
  return rest.join('/')
}

function firstBytes(file: string): Buffer {
  const fd = fs.openSync(file, 'r')
  try {
    const start = Buffer.alloc(6)
    return start.subarray(0, fs.readSync(fd, start, 0, 6, 0))
  } finally {
    fs.closeSync(fd)
  }
}
