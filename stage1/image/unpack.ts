import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import { codeOf } from '../../attestation/base/index.ts'
import { type Compression, decompress } from './decompress.ts'
import { ImageError } from './errors.ts'
import { LayerTree } from './layer-tree.ts'
import { LIMITS } from './limits.ts'
import { encodeOperation, type Operation, STREAM_MAGIC } from './operations.ts'
import { blobPath, type ImageStore } from './store.ts'
import { type TarEntry, type TarHandler, TarReader } from './tar.ts'

/** One layer to lay over those before it. */
export interface Layer {
  /** `sha256:<hex>` and size of the blob in the store. */
  readonly digest: string
  readonly sizeBytes: number
  readonly compression: Compression
  /** `sha256:<hex>` of the uncompressed tar. */
  readonly diffId: string
}

const SMALL_BYTES = 16 * 1024
const BATCH_BYTES = 128 * 1024
const READ_BYTES = 1024 * 1024

/**
 * Applies operations in a process that has left the host's file system behind (native/stage1/unpack.c).
 * Operations are collected into batches; whoever adds many awaits `drain` now and then, so that memory stays bounded.
 */
export class Unpacker {
  readonly #child: ChildProcessByStdio<Writable, null, Readable>
  readonly #ended: Promise<number | null>
  #batch: Buffer[] = [STREAM_MAGIC]
  #batchBytes = STREAM_MAGIC.length
  #full = false
  #stderr = ''
  #spawnError: unknown

  constructor(stage1Program: string, root: string) {
    this.#child = spawn(stage1Program, ['unpack', root], { stdio: ['pipe', 'ignore', 'pipe'], env: {} })
    this.#ended = new Promise((resolve) => {
      this.#child.on('error', (err) => {
        this.#spawnError = err
        resolve(null)
      })
      this.#child.on('close', resolve)
    })
    this.#child.stderr.on('data', (text: Buffer) => {
      if (this.#stderr.length < 8192) this.#stderr += text.toString('latin1')
    })
    this.#child.stdin.on('error', () => {}) // it has ended: finish() and drain() say why
  }

  readonly emit = (op: Operation, data?: Buffer): void => {
    this.write(encodeOperation(op))
    if (data !== undefined) this.write(data)
  }

  /** Passes bytes on; they must not be changed afterwards. */
  write(bytes: Buffer): void {
    if (bytes.length > SMALL_BYTES) {
      this.#flush()
      this.#full = !this.#child.stdin.write(bytes)
      return
    }
    this.#batch.push(bytes)
    this.#batchBytes += bytes.length
    if (this.#batchBytes > BATCH_BYTES) this.#flush()
  }

  /** Waits until the process has taken enough; throws when it has ended. */
  async drain(): Promise<void> {
    if (this.#full) {
      const drained = new Promise<'drained'>((resolve) => this.#child.stdin.once('drain', () => resolve('drained')))
      if ((await Promise.race([drained, this.#ended])) !== 'drained') throw this.#failure()
      this.#full = false
    }
    if (this.#spawnError !== undefined || this.#child.exitCode !== null) throw await this.#endedEarly()
  }

  /** Closes the stream and waits until all is applied. */
  async finish(): Promise<void> {
    this.emit({ kind: 'end', path: '' })
    this.#flush()
    this.#child.stdin.end()
    const status = await this.#ended
    if (status !== 0) throw this.#failure()
  }

  /** Ends the process whatever it is at, and waits for its end: what it wrote can be removed then. */
  async abandon(): Promise<void> {
    this.#child.kill('SIGKILL')
    this.#child.stdin.destroy()
    await this.#ended
  }

  async #endedEarly(): Promise<ImageError> {
    await this.#ended // so that all of its message is there
    return this.#failure()
  }

  #failure(): ImageError {
    if (this.#spawnError !== undefined) {
      const missing = codeOf(this.#spawnError) === 'ENOENT'
      return new ImageError(
        missing ? 'IMAGE_TOOL_MISSING' : 'IMAGE_RENDER_FAILED',
        `cannot start ${this.#child.spawnfile}${missing ? ': it is not there; build it with config/setup.sh' : ''}`,
        { cause: this.#spawnError },
      )
    }
    const text = this.#stderr.trim() || `ended by ${this.#child.signalCode ?? `status ${this.#child.exitCode}`}`
    const errno = /^unpack: errno (\d+):/.exec(text)?.[1]
    if (errno === '28' || errno === '122') {
      return new ImageError('IMAGE_NO_SPACE', `no room to unpack the image (${text}); make room and try again`)
    }
    if (errno === '1' && /chroot/.test(text)) {
      return new ImageError('IMAGE_RENDER_FAILED', `images can be unpacked by root only (${text})`)
    }
    return new ImageError('IMAGE_RENDER_FAILED', `holdfast-stage1 ${text}`)
  }

  #flush(): void {
    if (this.#batchBytes === 0) return
    this.#full = !this.#child.stdin.write(Buffer.concat(this.#batch, this.#batchBytes))
    this.#batch = []
    this.#batchBytes = 0
  }
}

/** Feeds entries of an archive to a tree and their data to the process that applies it. */
export class TreeHandler implements TarHandler {
  readonly #tree: LayerTree
  readonly #unpacker: Unpacker
  #left = 0

  constructor(tree: LayerTree, unpacker: Unpacker) {
    this.#tree = tree
    this.#unpacker = unpacker
  }

  entry(entry: TarEntry): void {
    this.#left = this.#tree.add(entry) ? entry.size : 0
  }

  data(bytes: Buffer): void {
    if (this.#left === 0) return // of a whiteout
    this.#unpacker.write(bytes)
    this.#left -= bytes.length
    if (this.#left === 0) this.#tree.flushXattrs()
  }
}

/**
 * Lays an OCI image's layers over each other in an empty directory. Each blob is hashed once more while it streams, and
 * its uncompressed bytes against the DiffID: what was changed in the store since it was fetched is noticed here.
 *
 * @returns what became of the extended attributes
 * @throws ImageError
 */
export async function unpackLayers(
  store: ImageStore,
  layers: readonly Layer[],
  root: string,
  options: {
    readonly stage1Program: string
    readonly signal?: AbortSignal
    readonly onLayer?: (index: number) => void
  },
): Promise<Pick<LayerTree, 'appliedXattrs' | 'droppedXattrs'>> {
  const unpacker = new Unpacker(options.stage1Program, root)
  try {
    const tree = new LayerTree(unpacker.emit, { whiteouts: true })
    let budget: number = LIMITS.unpackedBytes
    for (const [index, layer] of layers.entries()) {
      options.onLayer?.(index)
      tree.nextLayer()
      budget -= await unpackLayer(
        store,
        layer,
        new TarReader(new TreeHandler(tree, unpacker)),
        unpacker,
        budget,
        options.signal,
      )
    }
    tree.finish()
    await unpacker.finish()
    return tree
  } catch (err) {
    await unpacker.abandon()
    throw err
  }
}

async function unpackLayer(
  store: ImageStore,
  layer: Layer,
  reader: TarReader,
  unpacker: Unpacker,
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
    await unpacker.drain()
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

/**
 * The bytes of a blob in the store, hashed as they pass. The last piece is held back until the digest is known to be
 * right, so no reader sees the end of a changed blob.
 */
export async function* verifiedBlob(
  store: ImageStore,
  digest: string,
  sizeBytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Buffer> {
  const file = blobPath(store, digest)
  const hash = createHash('sha256')
  let bytes = 0
  let held: Buffer | undefined
  try {
    for await (const chunk of fs.createReadStream(file, { highWaterMark: READ_BYTES, ...(signal && { signal }) })) {
      const piece = chunk as Buffer // a stream without an encoding gives Buffers
      bytes += piece.length
      hash.update(piece)
      if (held !== undefined) yield held
      held = piece
    }
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') throw cause
    throw new ImageError('IMAGE_BLOB_MISSING', `${digest} is not in the store; fetch the image again`, { cause })
  }
  if (bytes !== sizeBytes || `sha256:${hash.digest('hex')}` !== digest) {
    throw new ImageError(
      'IMAGE_RECORD_BAD',
      `${file} was changed: it is not ${digest}; remove it and fetch the image again`,
    )
  }
  if (held !== undefined) yield held
}
