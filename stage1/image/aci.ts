import { createHash, type Hash } from 'node:crypto'
import fs from 'node:fs'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { type ImageId, imageId } from '../manifest/index.ts'
import type { ExpectedBlob } from './blobs.ts'
import { compressionOf, decompress } from './decompress.ts'
import { ImageError } from './errors.ts'
import { streamGiven } from './given-files.ts'
import type { TreeDirectory } from './inode.ts'
import { LayerTree } from './layer-tree.ts'
import { LIMITS } from './limits.ts'
import type { Spool } from './spool.ts'
import { blobPath, type ImageStore } from './store.ts'
import { type TarEntry, type TarHandler, TarReader } from './tar.ts'
import { treeEntries } from './tree-entries.ts'
import { TreeHandler } from './tree-handler.ts'
import { pathComponents, unsafe } from './tree-path.ts'
import { verifiedBlob } from './verified-blob.ts'

/** What an ACI turned out to be. */
export interface UnpackedAci {
  readonly id: ImageId
  readonly manifest: Buffer
  readonly root: TreeDirectory
}

/** The bytes of a local file, for the store. */
export async function* readLocalFile(file: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of streamGiven(file, { signal })) yield chunk as Buffer // no encoding is set
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') throw new ImageError('IMAGE_NOT_FOUND', `${file} does not exist`, { cause })
    throw new ImageError('IMAGE_SOURCE_BAD', `cannot read ${file}: ${messageOf(cause)}`, { cause })
  }
}

/**
 * The `manifest` file of an ACI. It may be anywhere in the archive; what is behind it is not read.
 * @throws ImageError
 */
export async function readAciManifest(store: ImageStore, blob: ExpectedBlob, signal?: AbortSignal): Promise<Buffer> {
  const handler = new AciHandler({ entry: () => {}, data: () => {} })
  const reader = new TarReader(handler)
  for await (const chunk of readAci(store, blob, signal)) {
    reader.push(chunk)
    if (handler.manifestIsWhole) break
  }
  return handler.manifest()
}

/** What lies below an ACI's own files, and what is left of all of it. */
export interface AciRendering {
  /** Open descriptors of verified trees, the lowest first. */
  readonly below: readonly number[]
  /** See ImageManifest. */
  readonly pathWhitelist?: readonly string[]
}

/**
 * Lays an ACI's rootfs over that of its dependencies, and reads its manifest, in one pass over the archive.
 * Source: App Container specification v0.8.11, "App Container Image": `manifest` and `rootfs/`, nothing else;
 * "Filesystem Setup" for the order, for symlinks of dependencies and for what the whitelist takes away.
 *
 * @param spool takes the data of files; what is hidden later too
 * @throws ImageError
 */
export async function unpackAci(
  store: ImageStore,
  blob: ExpectedBlob,
  spool: Spool,
  { below, pathWhitelist }: AciRendering,
  options: { readonly signal?: AbortSignal } = {},
): Promise<UnpackedAci> {
  const tree = new LayerTree(() => {}, { whiteouts: false, replaceLowerSymlinks: true })
  for (const fd of below) layTree(fd, tree, spool)
  tree.nextLayer()
  const handler = new AciHandler(new TreeHandler(tree, spool))
  const reader = new TarReader(handler)
  const hash = createHash('sha512')
  for await (const chunk of readAci(store, blob, options.signal)) {
    hash.update(chunk)
    reader.push(chunk)
  }
  reader.end()
  const manifest = handler.finish()
  if (pathWhitelist !== undefined) tree.keepOnly(pathWhitelist.map((p) => Buffer.from(p, 'utf8').toString('latin1')))
  return { id: aciId(hash), manifest, root: tree.finish() }
}

/** @param hash SHA-512 of the uncompressed tar (App Container specification v0.8.11, "Image Archives") */
export function aciId(hash: Hash): ImageId {
  return imageId(`sha512-${hash.digest('hex').slice(0, 64)}`)
}

/** Lays a rendered tree over what is there. */
function layTree(fd: number, tree: LayerTree, spool: Spool): void {
  tree.nextLayer()
  const handler = new TreeHandler(tree, spool)
  for (const { entry, data } of treeEntries(fd)) {
    handler.entry(entry)
    for (const piece of data) handler.data(piece)
  }
}

/** The uncompressed tar of an ACI in the store. */
export function readAci(store: ImageStore, blob: ExpectedBlob, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const compression = compressionOf(firstBytes(blobPath(store, blob.digest)))
  const source = verifiedBlob(store, blob.digest, blob.sizeBytes, signal)
  return decompress(source, compression, 'the ACI', LIMITS.unpackedBytes)
}

/** Parts an ACI: the manifest is kept, what is under rootfs goes on without that prefix. */
class AciHandler implements TarHandler {
  readonly #rootfs: TarHandler
  #manifest: Buffer[] | undefined
  #manifestLeft = 0
  #reading: 'manifest' | 'rootfs' = 'rootfs'
  #hasRootfs = false

  constructor(rootfs: TarHandler) {
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
      this.#manifestLeft = entry.size
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
    else {
      this.#manifest?.push(Buffer.from(bytes))
      this.#manifestLeft -= bytes.length
    }
  }

  get manifestIsWhole(): boolean {
    return this.#manifest !== undefined && this.#manifestLeft === 0
  }

  manifest(): Buffer {
    if (this.#manifest === undefined) throw new ImageError('IMAGE_LAYER_BAD', 'the ACI has no manifest')
    return Buffer.concat(this.#manifest)
  }

  finish(): Buffer {
    if (!this.#hasRootfs) throw new ImageError('IMAGE_LAYER_BAD', 'the ACI has no rootfs')
    return this.manifest()
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
