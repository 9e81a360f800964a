import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { codeOf } from '../../attestation/base/index.ts'
import { type ImageId, rootHashOf, type TreeDigest } from '../manifest/index.ts'
import { believes } from '../users/index.ts'
import type { FetchOptions } from './fetch-options.ts'
import { ensureHashTree } from './hash-tree.ts'
import type { ImageRecord } from './image.ts'
import { LIMITS } from './limits.ts'
import { asManifestError } from './oci.ts'
import { type Pin, pin } from './pins.ts'
import type { Provenance } from './provenance.ts'
import { manifestFromBlob, readRecord, recordWriter } from './records.ts'
import { Spool } from './spool.ts'
import { type ImageStore, readBlob } from './store.ts'
import { openVerifiedTree } from './verify.ts'

/** One fetch under way: where it works, and what it was told. */
export interface FetchWork {
  readonly store: ImageStore
  /** See makeWorkDirectory. */
  readonly directory: string
  readonly options: FetchOptions
}

/** What was fetched and rendered, before it has a name. */
export interface Pulled {
  readonly record: ImageRecord
  /** See ImageOrigin. */
  readonly manifestDigest: string
  readonly archiveDigest?: string
  readonly provenance?: Provenance
}

/** A tree in the store. */
export interface Rendered {
  readonly digest: TreeDigest
  readonly sizeBytes: number
}

const MADE_ANEW: ReadonlySet<string> = new Set([
  'IMAGE_RECORD_BAD',
  'IMAGE_TREE_MISSING',
  'IMAGE_TREE_CHANGED',
  'IMAGE_TREE_OUTDATED',
])

/** Says what the fetch is about to use, before it looks whether it is there (pins.ts). */
export function hold(work: FetchWork, pins: readonly Pin[]): Promise<void> {
  return pin(work.store, work.directory, pins)
}

/** @param digest `sha256:<hex>` */
export function blobPin(digest: string): Pin {
  return { kind: 'blob', hex: digest.slice('sha256:'.length) }
}

/** The tree of an image that was rendered before, if it still is what it was: rendering again would give the same. */
export async function renderedBefore(work: FetchWork, id: ImageId): Promise<Rendered | undefined> {
  try {
    // another user may say of an image what he likes: its tree is rendered from its blobs once more
    const writer = recordWriter(work.store, id)
    if (writer === undefined || !believes(writer)) return undefined
    const record = readRecord(work.store, id)
    if (record === undefined || !believes(record.writtenBy)) return undefined
    await hold(work, [{ kind: 'tree', hex: rootHashOf(record.treeDigest) }])
    fs.closeSync(openVerifiedTree(work.store, record.treeDigest, { remember: false }).fd)
    ensureHashTree(work.store, record.treeDigest)
    return { digest: record.treeDigest, sizeBytes: record.treeSizeBytes }
  } catch (err) {
    const code = codeOf(err)
    // What is damaged or outdated is made anew; the fetch has just checked all that it is made from.
    if (code !== undefined && MADE_ANEW.has(code)) return undefined
    throw err
  }
}

/** The record of an image whose blobs and tree are in the store. @throws ImageError IMAGE_MANIFEST_BAD */
export function recordOf(
  store: ImageStore,
  image: Pick<ImageRecord, 'kind' | 'id' | 'configDigest' | 'dependencies'>,
  rendered: Rendered,
): ImageRecord {
  const bytes = readBlob(store, image.configDigest, LIMITS.configBytes)
  return {
    version: 1,
    ...image,
    treeDigest: rendered.digest,
    treeSizeBytes: rendered.sizeBytes,
    manifest: asManifestError(() => manifestFromBlob(image.kind, image.id, bytes)),
  }
}

/** Runs with a place for the data of files. */
export async function withSpool<T>({ store, directory }: FetchWork, run: (spool: Spool) => Promise<T>): Promise<T> {
  const spool = new Spool(store, directory)
  try {
    return await run(spool)
  } finally {
    spool.close()
  }
}

/** `sha256:<hex>` */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** Bytes as a source of them. */
export async function* pieces(bytes: Uint8Array): AsyncGenerator<Buffer> {
  yield Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
