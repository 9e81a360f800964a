import { createHash } from 'node:crypto'
import { type Compression, decompress } from './decompress.ts'
import { ImageError } from './errors.ts'
import type { TreeDirectory } from './inode.ts'
import { LayerTree } from './layer-tree.ts'
import { LIMITS } from './limits.ts'
import type { Spool } from './spool.ts'
import type { ImageStore } from './store.ts'
import { TarReader } from './tar.ts'
import { TreeHandler } from './tree-handler.ts'
import { verifiedBlob } from './verified-blob.ts'

/** One layer to lay over those before it. */
export interface Layer {
  /** `sha256:<hex>` and size of the blob in the store. */
  readonly digest: string
  readonly sizeBytes: number
  readonly compression: Compression
  /** `sha256:<hex>` of the uncompressed tar. */
  readonly diffId: string
}

/**
 * Lays an OCI image's layers over each other. Each blob is hashed once more while it streams, and its uncompressed bytes
 * against the DiffID: what was changed in the store since it was fetched is noticed here.
 *
 * @param spool takes the data of files; what is hidden later too
 * @throws ImageError
 */
export async function layLayers(
  store: ImageStore,
  layers: readonly Layer[],
  spool: Spool,
  options: { readonly signal?: AbortSignal; readonly onLayer?: (index: number) => void } = {},
): Promise<TreeDirectory> {
  const tree = new LayerTree(() => {}, { whiteouts: true })
  let budget: number = LIMITS.unpackedBytes
  for (const [index, layer] of layers.entries()) {
    options.onLayer?.(index)
    tree.nextLayer()
    budget -= await layLayer(store, layer, new TarReader(new TreeHandler(tree, spool)), budget, options.signal)
  }
  return tree.finish()
}

async function layLayer(
  store: ImageStore,
  layer: Layer,
  reader: TarReader,
  budget: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const diff = createHash('sha256')
  let bytes = 0
  const source = verifiedBlob(store, layer.digest, layer.sizeBytes, signal)
  for await (const chunk of decompress(source, layer.compression, `layer ${layer.digest}`, budget)) {
    diff.update(chunk)
    bytes += chunk.length
    reader.push(chunk)
  }
  reader.end()
  const found = `sha256:${diff.digest('hex')}`
  if (found !== layer.diffId) {
    throw new ImageError(
      'IMAGE_DIGEST_MISMATCH',
      `layer ${layer.digest} unpacks to ${found}, the configuration says ${layer.diffId}`,
    )
  }
  return bytes
}
