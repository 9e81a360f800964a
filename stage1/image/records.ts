import fs from 'node:fs'
import path from 'node:path'
import { canonicalJson, codeOf, utf8 } from '../../attestation/base/index.ts'
import {
  acIdentifier,
  type ImageId,
  type ImageManifest,
  imageId,
  imageManifestFromOci,
  isOutdatedTreeDigest,
  parseImageManifest,
  parseJson,
  parseOciImageConfig,
  parseTreeDigest,
  ShapeReader,
} from '../manifest/index.ts'
import { vouches } from '../users/index.ts'
import { ImageError } from './errors.ts'
import type { ImageOrigin, ImageRecord, Relaxation, Signer, Written } from './image.ts'
import { LIMITS } from './limits.ts'
import { type ImageStore, readBlob, readOwnedFile, storing, syncDirectory, writeFileDurably } from './store.ts'

const MAX_RECORD_BYTES = 16 * 1024 * 1024
const MAX_DEPENDENCIES = 1024
const RECORD_MEMBERS = [
  ...['version', 'id', 'kind', 'configDigest', 'treeDigest', 'treeSizeBytes', 'dependencies', 'manifest'],
]

/**
 * Derives the manifest of an image from the blob its record names: what is run is never taken from the record itself.
 */
export function manifestFromBlob(kind: 'oci' | 'aci', id: ImageId, bytes: Uint8Array): ImageManifest {
  return kind === 'oci' ? imageManifestFromOci(parseOciImageConfig(bytes), acIdentifier(id)) : parseImageManifest(bytes)
}

/**
 * Writes the record of an image whose blobs and tree are in the store.
 * @throws ImageError IMAGE_NAME_TAKEN where another user wrote one that says something else
 */
export function writeRecord(store: ImageStore, record: ImageRecord): void {
  const bytes = utf8(canonicalJson(record))
  const relative = `images/${record.id}.json`
  writeFileDurably(store, relative, bytes, () => {
    if (readOwnedFile(path.join(store.dir, relative), MAX_RECORD_BYTES)?.bytes.equals(bytes) !== true) {
      throw nameTaken(record.id)
    }
  })
}

function nameTaken(name: string): ImageError {
  return new ImageError(
    'IMAGE_NAME_TAKEN',
    `${name} was fetched by another user: only they, or root, may fetch it anew or remove it`,
  )
}

/**
 * Reads a record and holds it against the blobs it is about: an OCI image's ID is the digest of its configuration, and
 * the manifest must be what the verified configuration (or ACI manifest) gives.
 *
 * @returns undefined where there is none
 * @throws ImageError IMAGE_RECORD_BAD, IMAGE_TREE_OUTDATED, IMAGE_BLOB_MISSING, IMAGE_STORE_FAILED
 */
export function readRecord(store: ImageStore, id: ImageId): (ImageRecord & Written) | undefined {
  const relative = `images/${id}.json`
  const file = readOwnedFile(path.join(store.dir, relative), MAX_RECORD_BYTES)
  if (file === undefined) return undefined
  const { bytes, uid: writtenBy } = file
  return checkingRecord(relative, () => {
    const r = new ShapeReader(relative)
    const o = r.object(parseJson(bytes, relative), '$')
    r.onlyKnown(o, '$', RECORD_MEMBERS)
    if (o['version'] !== 1) r.complain('$.version', 'must be 1')
    if (o['id'] !== id) r.complain('$.id', `must be ${id}, as the file's name says`)
    const kind = o['kind'] === 'aci' ? 'aci' : 'oci'
    if (o['kind'] !== kind) r.complain('$.kind', "must be 'oci' or 'aci'")
    const configDigest = readSha256(r, o['configDigest'], '$.configDigest')
    if (kind === 'oci' && configDigest !== id.replace('-', ':')) r.complain('$.configDigest', 'is not the image ID')
    if (id.startsWith('sha512-') !== (kind === 'aci')) r.complain('$.kind', 'does not fit the image ID')
    if (isOutdatedTreeDigest(o['treeDigest'])) {
      const text = `the tree of ${id} is of version 1, as an earlier Holdfast rendered it; fetch the image again`
      throw new ImageError('IMAGE_TREE_OUTDATED', text)
    }
    const treeDigest = r.checked(() => parseTreeDigest(r.string(o['treeDigest'], '$.treeDigest')), '$.treeDigest')
    const size = o['treeSizeBytes']
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size <= 0)
      r.complain('$.treeSizeBytes', 'must be a size')
    const dependencies = r
      .strings(o['dependencies'], '$.dependencies', MAX_DEPENDENCIES)
      .flatMap((v, i) => r.checked(() => imageId(v), `$.dependencies[${i}]`) ?? [])
    r.finish()
    const manifest = manifestFromBlob(kind, id, readBlob(store, configDigest, LIMITS.configBytes))
    if (canonicalJson(o['manifest']) !== canonicalJson(manifest)) r.complain('$.manifest', 'is not what the image says')
    r.finish()
    if (treeDigest === undefined) throw new TypeError('finish() lets no bad digest pass')
    return {
      version: 1,
      id,
      kind,
      configDigest,
      treeDigest,
      treeSizeBytes: Number(size),
      ...(dependencies.length > 0 && { dependencies }),
      manifest,
      writtenBy,
    }
  })
}

/** Whose a record is, if it is one at all: what another user has put in its place need not be read to be replaced. */
export function recordWriter(store: ImageStore, id: ImageId): number | undefined {
  return fs.lstatSync(path.join(store.dir, 'images', `${id}.json`), { throwIfNoEntry: false })?.uid
}

/** IDs of all images that have a record, sorted. Files that are no record are not images. */
export function listImageIds(store: ImageStore): ImageId[] {
  const names = storing(store, () => fs.readdirSync(path.join(store.dir, 'images')))
  return names
    .filter((n) => /^sha(256|512)-[0-9a-f]{64}\.json$/.test(n))
    .sort()
    .map((n) => imageId(n.slice(0, -'.json'.length)))
}

/** Of what this process has just written. */
export function written(): Written {
  return { writtenBy: process.geteuid?.() ?? -1 }
}

/** Writes what a name stands for. @throws ImageError IMAGE_NAME_TAKEN where another user's word is not to be replaced */
export function writeOrigin(store: ImageStore, origin: ImageOrigin): void {
  writeFileDurably(store, `refs/${refFileName(origin.name)}`, utf8(canonicalJson(origin)), () => {
    throw nameTaken(origin.name)
  })
}

/**
 * @param name a reference in its full form
 * @returns undefined where the name stands for nothing
 * @throws ImageError IMAGE_RECORD_BAD, IMAGE_STORE_FAILED
 */
export function readOrigin(store: ImageStore, name: string): (ImageOrigin & Written) | undefined {
  const origin = readOriginFile(store, refFileName(name))
  if (origin !== undefined && origin.name !== name) {
    throw new ImageError(
      'IMAGE_RECORD_BAD',
      `refs/${refFileName(name)} is about ${origin.name}; remove it and fetch again`,
    )
  }
  return origin
}

/**
 * Takes a name away. What it stood for stays until garbage is collected.
 * @throws ImageError IMAGE_NAME_TAKEN, IMAGE_STORE_FAILED
 */
export function removeOrigin(store: ImageStore, name: string): void {
  storing(store, () => {
    try {
      fs.unlinkSync(path.join(store.dir, 'refs', refFileName(name)))
    } catch (err) {
      if (codeOf(err) === 'ENOENT') return
      if (codeOf(err) === 'EPERM' || codeOf(err) === 'EACCES') throw nameTaken(name)
      throw err
    }
    syncDirectory(path.join(store.dir, 'refs'))
  })
}

/**
 * All names of the store with what they stand for, sorted by name. What cannot be read of those whose word does not
 * count is passed over: it must not keep anybody from the others.
 */
export function listOrigins(store: ImageStore): (ImageOrigin & Written)[] {
  const names = storing(store, () => fs.readdirSync(path.join(store.dir, 'refs')))
  return names.sort().flatMap((name) => {
    try {
      return readOriginFile(store, name) ?? []
    } catch (err) {
      const uid = fs.lstatSync(path.join(store.dir, 'refs', name), { throwIfNoEntry: false })?.uid
      if (!(err instanceof ImageError) || uid === undefined || uid === process.geteuid?.() || vouches(uid)) throw err
      return []
    }
  })
}

function readOriginFile(store: ImageStore, fileName: string): (ImageOrigin & Written) | undefined {
  const relative = `refs/${fileName}`
  const file = readOwnedFile(path.join(store.dir, relative), MAX_RECORD_BYTES)
  if (file === undefined) return undefined
  const { bytes, uid: writtenBy } = file
  return checkingRecord(relative, () => {
    const r = new ShapeReader(relative)
    const o = r.object(parseJson(bytes, relative), '$')
    r.onlyKnown(o, '$', [
      'name',
      'imageId',
      'manifestDigest',
      'archiveDigest',
      'fetchedAt',
      'relaxed',
      'signers',
      'policy',
    ])
    const id = r.checked(() => imageId(r.string(o['imageId'], '$.imageId')), '$.imageId')
    const fetchedAt = r.string(o['fetchedAt'], '$.fetchedAt')
    if (Number.isNaN(Date.parse(fetchedAt))) r.complain('$.fetchedAt', 'is not a time')
    const policy = r.optionalObject(o['policy'], '$.policy')
    const archive = o['archiveDigest']
    const archiveDigest = archive === undefined ? undefined : readSha256(r, archive, '$.archiveDigest')
    const origin = {
      name: r.string(o['name'], '$.name'),
      manifestDigest: readSha256(r, o['manifestDigest'], '$.manifestDigest'),
      ...(archiveDigest !== undefined && { archiveDigest }),
      fetchedAt,
      relaxed: r.strings(o['relaxed'], '$.relaxed', 8).flatMap((v, i) => readRelaxation(r, v, `$.relaxed[${i}]`)),
      signers: r.list(o['signers'], '$.signers', 64).map((v, i) => readSigner(r, v, `$.signers[${i}]`)),
      ...(policy && {
        policy: {
          sha256: readHex(r, policy['sha256'], '$.policy.sha256'),
          scope: r.string(policy['scope'], '$.policy.scope'),
        },
      }),
    }
    r.finish()
    if (id === undefined) throw new TypeError('finish() lets no bad ID pass')
    return { ...origin, imageId: id, writtenBy }
  })
}

function readRelaxation(r: ShapeReader, value: string, at: string): Relaxation[] {
  if (value === 'http' || value === 'tls' || value === 'image') return [value]
  r.complain(at, 'is not a known relaxation')
  return []
}

function readSigner(r: ShapeReader, value: unknown, at: string): Signer {
  const o = r.object(value, at)
  r.onlyKnown(o, at, ['kind', 'name', 'key', 'checkedAt', 'reference', 'anchors', 'predicateType'])
  const kind = SIGNER_KINDS.find((k) => k === o['kind'])
  if (kind === undefined) r.complain(`${at}.kind`, `must be ${SIGNER_KINDS.join(', ')}`)
  const reference = r.optionalString(o['reference'], `${at}.reference`)
  const anchors = r.strings(o['anchors'], `${at}.anchors`, 16)
  const predicateType = r.optionalString(o['predicateType'], `${at}.predicateType`)
  return {
    kind: kind ?? 'openpgp', // finish() throws where there was none
    name: r.string(o['name'], `${at}.name`),
    key: r.string(o['key'], `${at}.key`),
    checkedAt: r.string(o['checkedAt'], `${at}.checkedAt`),
    ...(reference !== undefined && { reference }),
    ...(o['anchors'] !== undefined && { anchors }),
    ...(predicateType !== undefined && { predicateType }),
  }
}

const SIGNER_KINDS = ['openpgp', 'public-key', 'certificate'] as const

function readHex(r: ShapeReader, value: unknown, at: string): string {
  const text = r.string(value, at)
  if (!/^[0-9a-f]{64}$/.test(text)) r.complain(at, 'must be 64 hex digits')
  return text
}

function readSha256(r: ShapeReader, value: unknown, at: string): string {
  const text = r.string(value, at)
  if (!/^sha256:[0-9a-f]{64}$/.test(text)) r.complain(at, 'must be sha256: and 64 hex digits')
  return text
}

/**
 * File name of a reference: URL-encoded.
 * @throws ImageError IMAGE_REFERENCE_BAD for one that makes no file name
 */
function refFileName(name: string): string {
  const encoded = encodeURIComponent(name)
  if (encoded.length <= 240) return encoded
  throw new ImageError('IMAGE_REFERENCE_BAD', `the reference is too long (${encoded.length} characters, at most 240)`)
}

function checkingRecord<T>(relative: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof ImageError) throw cause
    const text = cause instanceof Error ? cause.message : String(cause)
    throw new ImageError('IMAGE_RECORD_BAD', `${relative} cannot be trusted: ${text}; remove it and fetch again`, {
      cause,
    })
  }
}
