import { ManifestError, parseJson, ShapeReader } from '../manifest/index.ts'
import type { Compression } from './decompress.ts'
import { ImageError } from './errors.ts'
import { LIMITS } from './limits.ts'

/** OCI image-spec v1.1, descriptor.md, of a digest and a size that can be dealt with. */
export interface Descriptor {
  readonly mediaType: string
  /** `sha256:<hex>` */
  readonly digest: string
  readonly sizeBytes: number
  readonly platform?: Platform
  readonly annotations: ReadonlyMap<string, string>
}

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

/** A manifest, or an index of manifests for several platforms. */
export type OciDocument =
  | { readonly kind: 'manifest'; readonly config: Descriptor; readonly layers: readonly Descriptor[] }
  | { readonly kind: 'index'; readonly manifests: readonly Descriptor[] }

/** What is asked of a registry, in this order. */
export const MANIFEST_TYPES = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
] as const
export const INDEX_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
] as const
/** Docker's own, of schema 2; a layer's compression follows behind a dot. */
export const DOCKER_TYPES = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar',
} as const
const CONFIG_TYPES: readonly string[] = ['application/vnd.oci.image.config.v1+json', DOCKER_TYPES.config]
const LAYER_TYPES: Readonly<Record<string, Compression>> = {
  'application/vnd.oci.image.layer.v1.tar': 'none',
  'application/vnd.oci.image.layer.v1.tar+gzip': 'gzip',
  'application/vnd.oci.image.layer.v1.tar+zstd': 'zstd',
  'application/vnd.docker.image.rootfs.diff.tar': 'none',
  'application/vnd.docker.image.rootfs.diff.tar.gzip': 'gzip',
  'application/vnd.docker.image.rootfs.diff.tar.zstd': 'zstd',
}
const MAX_INDEX_ENTRIES = 1000

/**
 * @param bytes whose digest has been checked
 * @param mediaType the one the descriptor or the registry stated; the document's own, if it has one, must be the same
 * @throws ImageError IMAGE_MANIFEST_BAD, IMAGE_UNSUPPORTED, IMAGE_TOO_LARGE
 */
export function parseOciDocument(bytes: Uint8Array, mediaType: string): OciDocument {
  const isIndex = includes(INDEX_TYPES, mediaType)
  if (!isIndex && !includes(MANIFEST_TYPES, mediaType)) {
    const hint = /manifest\.v1\+(json|prettyjws)$/.test(mediaType)
      ? ' (schema 1; push the image again with a current tool)'
      : ''
    throw new ImageError('IMAGE_UNSUPPORTED', `manifest of type '${mediaType.slice(0, 100)}'${hint}`)
  }
  return asManifestError(() => {
    const r = new ShapeReader(isIndex ? 'image index' : 'image manifest')
    const o = r.object(parseJson(bytes, 'image manifest'), '$')
    if (o['schemaVersion'] !== 2) r.complain('$.schemaVersion', 'must be 2')
    if (o['mediaType'] !== undefined && o['mediaType'] !== mediaType) r.complain('$.mediaType', `must be ${mediaType}`)
    // A document that can be read both ways would be one image to us and another one to the next tool.
    const [forbidden, wanted] = isIndex ? [['layers', 'config'], ['manifests']] : [['manifests'], ['layers', 'config']]
    for (const name of forbidden) if (o[name] !== undefined) r.complain(`$.${name}`, 'must not be there')
    for (const name of wanted) if (o[name] === undefined) r.complain(`$.${name}`, 'is missing')
    r.finish()
    if (isIndex) {
      const manifests = r.list(o['manifests'], '$.manifests', MAX_INDEX_ENTRIES)
      const entries = manifests.map((v, i) => readDescriptor(r, v, `$.manifests[${i}]`))
      r.finish()
      return { kind: 'index', manifests: entries }
    }
    const config = readDescriptor(r, o['config'], '$.config')
    const list = r.list(o['layers'], '$.layers', 100_000)
    if (list.length > LIMITS.layers) {
      throw new ImageError('IMAGE_TOO_LARGE', `${list.length} layers, at most ${LIMITS.layers} are allowed`)
    }
    const layers = list.map((v, i) => readDescriptor(r, v, `$.layers[${i}]`))
    r.finish()
    for (const layer of layers) layerCompression(layer.mediaType)
    if (!CONFIG_TYPES.includes(config.mediaType)) {
      throw new ImageError(
        'IMAGE_UNSUPPORTED',
        `configuration of type '${config.mediaType.slice(0, 100)}': this is no image that can be run`,
      )
    }
    if (config.sizeBytes > LIMITS.configBytes)
      throw new ImageError('IMAGE_TOO_LARGE', `configuration of ${config.sizeBytes} bytes`)
    return { kind: 'manifest', config, layers }
  })
}

/** @throws ImageError IMAGE_UNSUPPORTED for a layer that cannot be unpacked, with the reason */
export function layerCompression(mediaType: string): Compression {
  const compression = Object.hasOwn(LAYER_TYPES, mediaType) ? LAYER_TYPES[mediaType] : undefined
  if (compression !== undefined) return compression
  const shown = mediaType.slice(0, 100)
  if (mediaType.endsWith('+encrypted'))
    throw new ImageError('IMAGE_UNSUPPORTED', `a layer is encrypted (${shown}); no key can be given for it`)
  if (/nondistributable|foreign/.test(mediaType)) {
    throw new ImageError('IMAGE_UNSUPPORTED', `a layer has to be fetched from elsewhere (${shown})`)
  }
  throw new ImageError('IMAGE_UNSUPPORTED', `a layer of unknown type '${shown}'`)
}

/** The machine's own platform in Go's words, as images use them. */
export function hostPlatform(): Platform {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' }
  return { os: 'linux', architecture: names[process.arch] ?? process.arch }
}

/**
 * The entry of an index that is for a platform. Entries without a platform count only where no entry has one.
 *
 * @throws ImageError IMAGE_PLATFORM_MISSING listing what there is, IMAGE_AMBIGUOUS
 */
export function choosePlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor {
  const known = manifests.filter((m) => m.platform !== undefined)
  const fitting = known.filter((m) => m.platform && fits(m.platform, wanted))
  // Several for one architecture differ in variant: the one that asks for the least runs everywhere.
  const chosen = fitting.find((m) => m.platform?.variant === undefined) ?? fitting[0]
  if (chosen !== undefined) return chosen
  const [only, ...others] = manifests
  if (only !== undefined && known.length === 0) {
    if (others.length === 0) return only
    const names = manifests.slice(0, 10).map((m) => m.annotations.get(REF_NAME) ?? m.digest)
    throw new ImageError(
      'IMAGE_AMBIGUOUS',
      `the index holds ${manifests.length} images; name one of ${names.join(', ')}`,
    )
  }
  const there = known.slice(0, 20).map((m) => `${m.platform?.os}/${m.platform?.architecture}`)
  throw new ImageError(
    'IMAGE_PLATFORM_MISSING',
    `no image for ${wanted.os}/${wanted.architecture}; there is ${there.join(', ') || 'none'}`,
  )
}

/** @returns whether an image for `p` runs on `wanted`; variants beyond the base of an architecture do not everywhere */
function fits(p: Platform, wanted: Platform): boolean {
  const base = p.variant === undefined || p.variant === 'v8' || p.variant === 'v1' || p.architecture === 'arm'
  return p.os === wanted.os && p.architecture === wanted.architecture && base
}

/** Annotation that names an image in an OCI layout. */
export const REF_NAME = 'org.opencontainers.image.ref.name'

function readDescriptor(r: ShapeReader, value: unknown, path: string): Descriptor {
  const o = r.object(value, path)
  const mediaType = r.string(o['mediaType'], `${path}.mediaType`)
  const digest = r.string(o['digest'], `${path}.digest`)
  const size = o['size']
  const sizeBytes = typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : -1
  if (sizeBytes < 0) r.complain(`${path}.size`, 'must be a number of bytes')
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) {
    const algorithm = /^[A-Za-z0-9_+.-]+:/.exec(digest)?.[0]
    const known = algorithm !== undefined && algorithm !== 'sha256:'
    r.complain(
      `${path}.digest`,
      known ? `algorithm ${algorithm.slice(0, 20)} is not supported, only sha256` : 'must be sha256: and 64 hex digits',
    )
  }
  if (sizeBytes > LIMITS.blobBytes) r.complain(`${path}.size`, `at most ${LIMITS.blobBytes} bytes are allowed`)
  const p = r.optionalObject(o['platform'], `${path}.platform`)
  const annotations = Object.entries(r.optionalObject(o['annotations'], `${path}.annotations`) ?? {})
  const variant = p && r.optionalString(p['variant'], `${path}.platform.variant`)
  return {
    mediaType,
    digest,
    sizeBytes,
    ...(p && {
      platform: {
        os: r.string(p['os'], `${path}.platform.os`),
        architecture: r.string(p['architecture'], `${path}.platform.architecture`),
        ...(variant && { variant }),
      },
    }),
    annotations: new Map(annotations.map(([k, v]) => [k, r.string(v, `${path}.annotations.${k}`)])),
  }
}

/** Errors of shape become errors of the image: it is the same to whoever asked for it. */
export function asManifestError<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (!(cause instanceof ManifestError)) throw cause
    throw new ImageError('IMAGE_MANIFEST_BAD', cause.message, { cause })
  }
}

function includes(list: readonly string[], text: string): boolean {
  return list.includes(text)
}
