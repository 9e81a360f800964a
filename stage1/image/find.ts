import { type ImageId, imageId } from '../manifest/index.ts'
import { vouches } from '../users/index.ts'
import { ImageError } from './errors.ts'
import type { ImageOrigin, StoredImage, Written } from './image.ts'
import { checkManifest } from './image-blobs.ts'
import { listImageIds, listOrigins, readOrigin, readRecord } from './records.ts'
import { parseReference } from './reference.ts'
import type { ImageStore } from './store.ts'

/** An image ID or a prefix of at least 4 of its hex digits. */
const ID_OR_PREFIX = /^(sha(256|512)-)?[0-9a-f]{4,64}$/

/**
 * Looks an image up in the store; never fetches. The record is checked against the blobs it was made from.
 *
 * @param text a reference as given to fetch, an image ID, an unambiguous prefix of one (with or without `sha256-`), or
 * the
 *   last part of exactly one name (`busybox` or `busybox:1` for `docker://localhost:5000/busybox:1`)
 * @throws ImageError IMAGE_REFERENCE_BAD, IMAGE_NOT_FOUND, IMAGE_AMBIGUOUS, IMAGE_RECORD_BAD, IMAGE_BLOB_MISSING,
 * IMAGE_STORE_FAILED
 */
export function findImage(store: ImageStore, text: string, cwd: string): StoredImage {
  return imageOf(store, findOrigins(store, text, cwd).reduce(newer))
}

/**
 * The names that a text stands for, all of one image: one name, or every name of the image that an ID or the last part
 * of some names leads to. Their image is not looked at.
 *
 * @param text see findImage
 * @returns one or more
 * @throws ImageError as findImage, but for what is about the image
 */
export function findOrigins(store: ImageStore, text: string, cwd: string): readonly (ImageOrigin & Written)[] {
  const reference = parseReference(text, cwd)
  if (reference.kind !== 'stored') {
    const origin = readOrigin(store, reference.name)
    if (origin === undefined) throw notFound(text)
    return [origin]
  }
  const prefix = ID_OR_PREFIX.test(reference.name) ? reference.name : undefined
  const ids = prefix === undefined ? [] : idsWithPrefix(store, prefix)
  const meant = listOrigins(store).filter((o) =>
    ids.length > 0 ? ids.includes(o.imageId) : isLastPart(o.name, reference.name),
  )
  const candidates = preferred(meant)
  if (candidates.length === 0) throw notFound(text)
  if (new Set(candidates.map((o) => o.imageId)).size > 1) {
    const names = candidates.slice(0, 5).map((o) => `${o.name} (${o.imageId.slice(0, 19)})`)
    throw new ImageError('IMAGE_AMBIGUOUS', `'${text}' could be ${names.join(', ')}; write more of it`)
  }
  return candidates
}

/** An image in the list, or what is wrong with it: one bad record must not hide the others. */
export type ListedImage =
  | { readonly id: ImageId; readonly image: StoredImage; readonly origins: readonly ImageOrigin[] }
  | { readonly id: ImageId; readonly error: ImageError; readonly origins: readonly ImageOrigin[] }

/** All images of the store, sorted by ID, each with what every name of it was fetched as; `image` has the newest. */
export function listImages(store: ImageStore): ListedImage[] {
  const origins = listOrigins(store)
  return listImageIds(store).flatMap((id): ListedImage[] => {
    const mine = origins.filter((o) => o.imageId === id)
    const [first] = mine
    if (first === undefined) return [] // its fetch has not come to its end
    try {
      return [{ id, image: imageOf(store, preferred(mine).reduce(newer)), origins: mine }]
    } catch (error) {
      if (!(error instanceof ImageError)) throw error
      return [{ id, error, origins: mine }]
    }
  })
}

function imageOf(store: ImageStore, origin: ImageOrigin & Written): StoredImage {
  const record = readRecord(store, origin.imageId)
  if (record === undefined) {
    throw new ImageError('IMAGE_RECORD_BAD', `${origin.name} is ${origin.imageId}, which has no record; fetch it again`)
  }
  checkManifest(store, record, origin)
  return { ...record, origin }
}

function idsWithPrefix(store: ImageStore, prefix: string): ImageId[] {
  if (/^sha(256|512)-[0-9a-f]{64}$/.test(prefix)) return [imageId(prefix)]
  return listImageIds(store).filter((id) => id.startsWith(prefix) || id.slice('sha256-'.length).startsWith(prefix))
}

/** Names of those whose word counts stand before all others, which else could be put in their way. */
function preferred<T extends Written>(origins: readonly T[]): readonly T[] {
  const counting = origins.filter((o) => vouches(o.writtenBy))
  return counting.length > 0 ? counting : origins
}

function newer<T extends ImageOrigin>(a: T, b: T): T {
  return Date.parse(b.fetchedAt) > Date.parse(a.fetchedAt) ? b : a
}

/** Whether `part` is the end of the name after a slash, with or without its tag. */
function isLastPart(name: string, part: string): boolean {
  const untagged = name.replace(/@sha256:[0-9a-f]{64}$/, '').replace(/:[^:/]*$/, '')
  return name.endsWith(`/${part}`) || untagged.endsWith(`/${part}`) || name === part
}

function notFound(text: string): ImageError {
  return new ImageError('IMAGE_NOT_FOUND', `no image '${text}' in the store; fetch it, or see 'holdfast image list'`)
}
