import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { type ImageId, rootHashOf } from '../manifest/index.ts'
import { ImageError } from './errors.ts'
import { blobsOf } from './image-blobs.ts'
import { isPart } from './parts.ts'
import { pinName, readPins } from './pins.ts'
import { listImageIds, listOrigins, readRecord } from './records.ts'
import { removeStaleWork } from './stale-work.ts'
import { type ImageStore, storing } from './store.ts'
import { withStoreLock } from './store-lock.ts'

/** What others than the store itself need of it: pods. */
export interface NeededElsewhere {
  readonly images: ReadonlySet<ImageId>
  /** Root hashes, 64 hex digits. */
  readonly trees: ReadonlySet<string>
}

/** One file that was removed. */
export interface Collected {
  readonly kind: 'record' | 'tree' | 'hash tree' | 'blob' | 'part of a blob'
  readonly name: string
  readonly sizeBytes: number
}

/**
 * Removes what no name, no pod and no command under way needs: records of images without a name, trees with
 * their hash trees, blobs, parts of blobs, and the work of commands that are gone. Where it cannot be told what an image needs, nothing is removed.
 *
 * A fetch that runs at the same time loses nothing: it says what it will use before it looks for it (pins.ts). Pins are
 * read before names, for a fetch writes its name before it takes its pins away.
 *
 * @param options.graceMs what got its name or its last byte more recently than this stays
 * @param options.needed asked while nothing else can be collected, before anything in the store is read
 * @throws ImageError IMAGE_RECORD_BAD, IMAGE_BLOB_MISSING, IMAGE_STORE_FAILED
 */
export async function collectImageGarbage(
  store: ImageStore,
  options: { readonly graceMs: number; readonly now: Date; readonly needed: () => NeededElsewhere },
): Promise<Collected[]> {
  return withStoreLock(store, 'exclusive', () => {
    const elsewhere = options.needed()
    removeStaleWork(store, options.now)
    const pins = readPins(store)
    const needed = mark(store, pins, elsewhere)
    const newest = options.now.getTime() - options.graceMs
    const sweep = (directory: string, kind: Collected['kind'], garbage: (name: string) => boolean): Collected[] =>
      sweepDirectory(store, path.join(store.dir, directory), kind, newest, garbage)
    // records first: one whose tree is gone would be found, one whose record is gone is nothing
    return [
      ...sweep('images', 'record', (n) => /^sha(256|512)-[0-9a-f]{64}\.json$/.test(n) && !needed.has(recordName(n))),
      ...sweep('trees', 'tree', (n) => /^[0-9a-f]{64}\.erofs$/.test(n) && !needed.has(`tree-${n.slice(0, 64)}`)),
      ...sweep('trees', 'hash tree', (n) => /^[0-9a-f]{64}\.verity$/.test(n) && !needed.has(`tree-${n.slice(0, 64)}`)),
      ...sweep('cas/sha256', 'blob', (n) => /^[0-9a-f]{64}$/.test(n) && !needed.has(`blob-${n}`)),
      ...sweep('tmp', 'part of a blob', isPart),
    ]
  })
}

/** The names, as pinName gives them, of all that is needed. */
function mark(store: ImageStore, pins: ReadonlySet<string>, elsewhere: NeededElsewhere): Set<string> {
  const needed = new Set(pins)
  for (const tree of elsewhere.trees) needed.add(pinName({ kind: 'tree', hex: tree }))
  const origins = listOrigins(store)
  const named = new Set(origins.map((o) => o.imageId))
  for (const id of listImageIds(store)) {
    if (!named.has(id) && !elsewhere.images.has(id) && !pins.has(pinName({ kind: 'image', id }))) continue
    needed.add(pinName({ kind: 'image', id }))
    const record = recognising(id, () => readRecord(store, id))
    if (record === undefined) continue
    needed.add(pinName({ kind: 'tree', hex: rootHashOf(record.treeDigest) }))
    needed.add(pinName({ kind: 'blob', hex: hexOf(record.configDigest) }))
    for (const origin of origins.filter((o) => o.imageId === id)) {
      for (const { digest } of recognising(id, () => blobsOf(store, record, origin))) {
        needed.add(pinName({ kind: 'blob', hex: hexOf(digest) }))
      }
    }
  }
  return needed
}

function recognising<T>(id: ImageId, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof ImageError)) throw cause
    throw new ImageError(
      cause.code,
      `${cause.message}. Nothing was collected, as it cannot be told what ${id.slice(0, 19)} needs: ` +
        'fetch it again or remove it (holdfast image verify, holdfast image rm)',
      { cause },
    )
  }
}

function sweepDirectory(
  store: ImageStore,
  directory: string,
  kind: Collected['kind'],
  newest: number,
  garbage: (name: string) => boolean,
): Collected[] {
  return storing(store, () => fs.readdirSync(directory).filter(garbage)).flatMap((name): Collected[] => {
    const file = path.join(directory, name)
    try {
      // a rename changes ctime: for a file with a name that is when it got it
      const stat = fs.lstatSync(file)
      const { ctimeMs, size } = stat
      if (ctimeMs > newest || stat.isDirectory()) return [] // none of ours is a directory
      fs.rmSync(file)
      return [{ kind, name, sizeBytes: size }]
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT') return [] // a part that a fetch has taken
      throw new ImageError('IMAGE_STORE_FAILED', `cannot remove ${file}: ${messageOf(cause)}`, { cause })
    }
  })
}

function recordName(fileName: string): string {
  return `image-${fileName.slice(0, -'.json'.length)}`
}

function hexOf(digest: string): string {
  return digest.slice('sha256:'.length)
}
