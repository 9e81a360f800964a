import fs from 'node:fs'
import { canonicalJson, utf8 } from '../../attestation/base/index.ts'
import { aciBytes } from './export-image.ts'
import type { StoredImage } from './image.ts'
import { LayerTree } from './layer-tree.ts'
import { LIMITS } from './limits.ts'
import { makeTarget } from './new-target.ts'
import { type ImageStore, readBlob } from './store.ts'
import { type TarEntry, type TarHandler, TarReader } from './tar.ts'
import { plainFile } from './tar-writer.ts'
import { treeEntries } from './tree-entries.ts'
import { TreeHandler } from './tree-handler.ts'
import { pathComponents } from './tree-path.ts'
import { Unpacker } from './unpack.ts'
import { openVerifiedTree } from './verify.ts'

/** How an image is written to a directory. */
export interface ExtractOptions {
  /** `rendered`: what an app finds; `own`: what the ACI itself holds, without its dependencies and before its whitelist. */
  readonly what: 'rendered' | 'own'
  /** The files alone, without `manifest` and the `rootfs` directory. */
  readonly rootfsOnly: boolean
  readonly overwrite: boolean
  /** The `holdfast-stage1` program. */
  readonly stage1Program: string
}

/**
 * Writes an image to a new directory: `manifest` and `rootfs/`, or what is in rootfs alone. The program that writes is
 * shut into that directory. For an OCI image, which has no dependencies, both are one.
 *
 * @param target absolute
 * @throws ImageError
 */
export function extractImage(store: ImageStore, image: StoredImage, target: string, o: ExtractOptions): Promise<void> {
  return makeTarget(target, o.overwrite, async (temporary) => {
    fs.mkdirSync(temporary, { mode: 0o755 })
    const unpacker = new Unpacker(o.stage1Program, temporary)
    try {
      const tree = new LayerTree(unpacker.emit, { whiteouts: false })
      tree.nextLayer()
      const files = new Placer(new TreeHandler(tree, unpacker), o.rootfsOnly)
      if (image.kind === 'aci' && o.what === 'own') await unpackArchive(store, image, files, unpacker)
      else await unpackTree(store, image, files, unpacker, o.rootfsOnly)
      tree.finish()
      await unpacker.finish()
    } catch (err) {
      await unpacker.abandon()
      throw err
    }
  })
}

async function unpackArchive(store: ImageStore, image: StoredImage, files: Placer, unpacker: Unpacker): Promise<void> {
  const reader = new TarReader(files)
  for await (const piece of aciBytes(store, image)) {
    reader.push(piece)
    await unpacker.drain()
  }
  reader.end()
}

async function unpackTree(
  store: ImageStore,
  image: StoredImage,
  files: Placer,
  unpacker: Unpacker,
  rootfsOnly: boolean,
): Promise<void> {
  const { fd } = openVerifiedTree(store, image.treeDigest, { remember: false })
  try {
    if (!rootfsOnly) {
      const manifest =
        image.kind === 'aci'
          ? readBlob(store, image.configDigest, LIMITS.aciManifestBytes)
          : Buffer.from(utf8(canonicalJson(image.manifest)))
      files.entry(plainFile('manifest', manifest.length))
      files.data(manifest)
    }
    for (const { entry, data } of treeEntries(fd)) {
      const linkPath = entry.type === 'hardlink' ? `rootfs/${entry.linkPath}` : entry.linkPath
      files.entry({ ...entry, path: `rootfs/${entry.path}`, linkPath })
      for (const piece of data) {
        files.data(piece)
        await unpacker.drain()
      }
      await unpacker.drain()
    }
  } finally {
    fs.closeSync(fd)
  }
}

/** Takes the entries of an ACI as they are, or those of its rootfs without that name in front. */
class Placer implements TarHandler {
  readonly #handler: TarHandler
  readonly #rootfsOnly: boolean
  #skipping = false

  constructor(handler: TarHandler, rootfsOnly: boolean) {
    this.#handler = handler
    this.#rootfsOnly = rootfsOnly
  }

  entry(entry: TarEntry): void {
    const [top, ...rest] = pathComponents(entry.path, 'name')
    this.#skipping = this.#rootfsOnly && top !== 'rootfs'
    if (this.#skipping) return
    if (!this.#rootfsOnly) this.#handler.entry(entry)
    else this.#handler.entry({ ...entry, path: rest.join('/') || '.', linkPath: withoutRootfs(entry) })
  }

  data(bytes: Buffer): void {
    if (!this.#skipping) this.#handler.data(bytes)
  }
}

function withoutRootfs(entry: TarEntry): string {
  return entry.type === 'hardlink'
    ? pathComponents(entry.linkPath, 'hardlink target').slice(1).join('/')
    : entry.linkPath
}
