import fs from 'node:fs'
import path from 'node:path'
import { canonicalJson, messageOf, toHex, utf8 } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import { findImage, type ImageStore, type StoredImage } from '../image/index.ts'
import { parseJson, parsePodManifest, podManifestBytes, ShapeReader } from '../manifest/index.ts'
import type { AssembledPod } from './assemble.ts'
import { PodError } from './errors.ts'
import { inDirectory, type LockedPod, movePod } from './pod-directory.ts'
import { readPodFile } from './pod-file.ts'
import type { Pod } from './pod-list.ts'
import { isStillAt, lockPod, openPod } from './pod-lock.ts'

/** An image as it was when the pod was prepared; the launch must find it just so. */
interface PreparedImage {
  readonly name: string
  readonly id: string
  readonly tree: string
  readonly manifest: string
  readonly relaxed: readonly string[]
  /** Keys alone: a signature may have been checked again meanwhile. */
  readonly signers: readonly string[]
}

/** `prepared.json`: what `prepare` decided that the manifest does not say. */
interface PreparedRecord {
  readonly v: 1
  /** RFC 3339, UTC. */
  readonly at: string
  /** SHA-256 of the files, hex. */
  readonly pod: string
  readonly redactionKey: string
  readonly relaxed: readonly string[]
  readonly stage1: PreparedImage
  readonly images: readonly PreparedImage[]
}

const FILE = 'prepared.json'
const MAX_ITEMS = 64

/**
 * Ends a prepare: from here on the pod is there after a power cut as well, and anybody may launch it.
 * @param images one for each app of the manifest, in its order
 * @throws PodError POD_DIRECTORY_FAILED
 */
export function finishPrepare(
  dir: string,
  { pod, manifest, redactionKey }: AssembledPod,
  stage1: StoredImage,
  images: readonly StoredImage[],
  relaxed: readonly string[],
): LockedPod {
  const record: PreparedRecord = {
    v: 1,
    at: new Date().toISOString(),
    pod: sha256(podManifestBytes(manifest)),
    redactionKey: sha256(redactionKey),
    relaxed,
    stage1: preparedImage(stage1),
    images: images.map(preparedImage),
  }
  return inDirectory(dir, () => {
    fs.writeFileSync(path.join(pod.path, FILE), utf8(canonicalJson({ ...record })), { mode: 0o600 })
    for (const name of ['pod', 'redaction-key', FILE]) syncFile(path.join(pod.path, name))
    syncFile(pod.path)
    return movePod(dir, pod, 'prepared')
  })
}

/** A prepared pod, taken to be launched, with everything that it is made of. */
export interface TakenPod extends AssembledPod {
  readonly stage1: StoredImage
  /** One for each app of the manifest, in its order. */
  readonly images: readonly StoredImage[]
  readonly relaxed: readonly string[]
}

/**
 * Locks a prepared pod and holds everything against what was prepared: manifest, key, images and who vouches for them.
 * Trees are verified by the launch itself. Whoever changes the record together with what it records is noticed by
 * policy alone, for what is launched is what is measured.
 *
 * @throws PodError POD_BUSY, POD_FILE_BAD, LAUNCH_CHANGED; ManifestError, ImageError: the pod stays prepared
 */
export function takePrepared(store: ImageStore, found: Pod): TakenPod {
  const fd = found.state === 'prepared' ? openPod(found.path) : undefined
  try {
    if (fd === undefined || !lockPod(fd) || !isStillAt(found.path, fd)) {
      throw new PodError(
        'POD_BUSY',
        `pod ${found.uuid} is ${fd === undefined ? found.state : 'in use'}, not prepared`,
        {
          hint: 'holdfast list shows what it is now; each prepared pod is launched once.',
        },
      )
    }
    return { ...readPrepared(store, found), pod: { uuid: found.uuid, path: found.path, fd } }
  } catch (err) {
    if (fd !== undefined) fs.closeSync(fd)
    throw err
  }
}

function readPrepared(store: ImageStore, { path: at, uuid }: Pod): Omit<TakenPod, 'pod'> {
  const [podBytes, redactionKey] = [fileOf(at, 'pod'), fileOf(at, 'redaction-key')]
  const record = parseRecord(fileOf(at, FILE), path.join(at, FILE))
  if (sha256(podBytes) !== record.pod) throw changed(uuid, 'its manifest was changed')
  if (sha256(redactionKey) !== record.redactionKey) throw changed(uuid, 'its redaction key was changed')
  const manifest = parsePodManifest(podBytes)
  if (manifest.apps.map((a) => a.image.id).join() !== record.images.map((i) => i.id).join()) {
    throw changed(uuid, 'its record names other images than its manifest')
  }
  return {
    manifest,
    redactionKey,
    relaxed: record.relaxed,
    stage1: sameImage(store, uuid, record.stage1),
    images: record.images.map((image) => sameImage(store, uuid, image)),
  }
}

/** The image that a name stands for now, which must be the prepared one in all that is measured. */
function sameImage(store: ImageStore, uuid: string, wanted: PreparedImage): StoredImage {
  const image = findImage(store, wanted.name, '/')
  if (canonicalJson({ ...preparedImage(image) }) === canonicalJson({ ...wanted })) return image
  throw changed(uuid, `${wanted.name} was ${wanted.id}, and is another image or otherwise vouched for now`)
}

function preparedImage(image: StoredImage): PreparedImage {
  const { name, manifestDigest, relaxed, signers } = image.origin
  const keys = signers.map((s) => s.key).sort()
  return { name, id: image.id, tree: image.treeDigest, manifest: manifestDigest, relaxed: [...relaxed], signers: keys }
}

function parseRecord(bytes: Uint8Array, file: string): PreparedRecord {
  const r = new ShapeReader(file)
  const readImage = (value: unknown, at: string): PreparedImage => {
    const o = r.object(value, at)
    const text = (member: string): string => r.string(o[member], `${at}.${member}`)
    const texts = (member: string): readonly string[] => r.strings(o[member], `${at}.${member}`, MAX_ITEMS)
    return {
      ...{ name: text('name'), id: text('id'), tree: text('tree'), manifest: text('manifest') },
      ...{ relaxed: texts('relaxed'), signers: texts('signers') },
    }
  }
  try {
    const o = r.object(parseJson(bytes, file), '$')
    if (o['v'] !== 1) r.complain('$.v', 'must be 1')
    const record: PreparedRecord = {
      v: 1,
      at: r.string(o['at'], '$.at'),
      pod: r.string(o['pod'], '$.pod'),
      redactionKey: r.string(o['redactionKey'], '$.redactionKey'),
      relaxed: r.strings(o['relaxed'], '$.relaxed', MAX_ITEMS),
      stage1: readImage(o['stage1'], '$.stage1'),
      images: r.list(o['images'], '$.images', MAX_ITEMS).map((v, i) => readImage(v, `$.images[${i}]`)),
    }
    r.finish()
    return record
  } catch (cause) {
    throw new PodError('POD_FILE_BAD', messageOf(cause), { cause })
  }
}

function fileOf(at: string, name: string): Uint8Array {
  const bytes = readPodFile(at, name)
  if (bytes === undefined) throw new PodError('POD_FILE_BAD', `${path.join(at, name)} is missing`)
  return bytes
}

function changed(uuid: string, why: string): PodError {
  return new PodError('LAUNCH_CHANGED', `pod ${uuid} is not what was prepared: ${why}`, {
    hint: 'Nothing was started. Remove it and prepare it again: holdfast rm, holdfast prepare.',
  })
}

function syncFile(file: string): void {
  const fd = fs.openSync(file, 'r')
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

function sha256(bytes: Uint8Array): string {
  return toHex(digest('sha256', bytes))
}
