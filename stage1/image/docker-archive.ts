import { utf8 } from '../../attestation/base/index.ts'
import { parseJson, ShapeReader } from '../manifest/index.ts'
import { compressionOf } from './decompress.ts'
import { ImageError } from './errors.ts'
import { missing } from './layout-files.ts'
import { LIMITS } from './limits.ts'
import { asManifestError, type Descriptor, DOCKER_TYPES } from './oci.ts'
import type { ImageSource } from './source.ts'
import { readMember, streamMember, type TarIndex, type TarMember } from './tar-index.ts'

interface ArchivedImage {
  readonly config: string
  readonly names: readonly string[]
  readonly layers: readonly string[]
}

const MAX_IMAGES = 1000
const MAGIC_BYTES = 6

/**
 * An archive as `docker save` and `podman save` write it: `manifest.json` lists configuration, layers and names of each
 * image. It has no manifest of the image, so one is made of it, of docker's schema 2 with the digests found; the
 * configuration's diff_ids bind the layers to the image as ever.
 * Source: Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format".
 *
 * @param name `NAME:TAG` of the image to take; without one the archive must hold exactly one
 */
export function openDockerArchive(index: TarIndex, name: string | undefined): ImageSource {
  const byDigest = new Map<string, TarMember>()
  return {
    root: async () => {
      const image = choose(readImages(index), name, index.shown)
      const describe = (member: TarMember, mediaType: string) => {
        byDigest.set(member.digest, member)
        return { mediaType, digest: member.digest, size: member.sizeBytes }
      }
      const config = describe(memberOf(index, image.config), DOCKER_TYPES.config)
      const layers = image.layers.map((layer) => {
        const member = memberOf(index, layer)
        const compression = compressionOf(
          readMember(index, { ...member, sizeBytes: Math.min(MAGIC_BYTES, member.sizeBytes) }, MAGIC_BYTES),
        )
        if (compression !== 'none' && compression !== 'gzip' && compression !== 'zstd') {
          throw new ImageError('IMAGE_UNSUPPORTED', `${layer} in ${index.shown} is compressed with ${compression}`)
        }
        return describe(member, `${DOCKER_TYPES.layer}${compression === 'none' ? '' : `.${compression}`}`)
      })
      const manifest = { schemaVersion: 2, mediaType: DOCKER_TYPES.manifest, config, layers }
      return { bytes: Buffer.from(utf8(JSON.stringify(manifest))), mediaType: DOCKER_TYPES.manifest }
    },
    document: async ({ digest }) => {
      throw missing(digest, index.shown)
    },
    async *blob(descriptor: Descriptor) {
      const member = byDigest.get(descriptor.digest)
      if (member === undefined) throw missing(descriptor.digest, index.shown)
      yield* streamMember(index, member)
    },
    tagged: async () => undefined,
    referrers: async () => undefined,
    relaxed: () => [],
    close: () => {},
  }
}

/** Whether an archive is one of docker's. A layout that docker writes as well has both; it is taken for a layout. */
export function isDockerArchive(index: TarIndex): boolean {
  return index.members.has('manifest.json') && !index.members.has('oci-layout')
}

function readImages(index: TarIndex): ArchivedImage[] {
  const member = index.members.get('manifest.json')
  if (member === undefined) {
    throw new ImageError('IMAGE_NOT_FOUND', `${index.shown} is no archive of docker: it has no manifest.json`)
  }
  return asManifestError(() => {
    const r = new ShapeReader(`manifest.json in ${index.shown}`)
    const list = r.list(parseJson(readMember(index, member, LIMITS.manifestBytes), 'manifest.json'), '$', MAX_IMAGES)
    const images = list.map((v, i) => {
      const o = r.object(v, `$[${i}]`)
      return {
        config: r.string(o['Config'], `$[${i}].Config`),
        names: r.strings(o['RepoTags'], `$[${i}].RepoTags`, MAX_IMAGES),
        layers: r.strings(o['Layers'], `$[${i}].Layers`, LIMITS.layers),
      }
    })
    r.finish()
    return images
  })
}

function choose(images: readonly ArchivedImage[], name: string | undefined, shown: string): ArchivedImage {
  const fitting = name === undefined ? images : images.filter((i) => i.names.some((n) => isSameName(n, name)))
  const [only, ...others] = fitting
  const there = images.flatMap((i) => i.names).slice(0, 20)
  const names = there.length > 0 ? there.join(', ') : 'images without names'
  if (only === undefined) throw new ImageError('IMAGE_NOT_FOUND', `${shown} holds no such image; there is ${names}`)
  if (others.length > 0)
    throw new ImageError('IMAGE_AMBIGUOUS', `${shown} holds ${images.length} images; name one of ${names}`)
  return only
}

/** Writers differ in how much of docker.io/library/ they leave away. */
function isSameName(a: string, b: string): boolean {
  const short = (name: string): string =>
    name.replace(/^(docker\.io\/)?(library\/)?/, '').replace(/^([^:]*)$/, '$1:latest')
  return short(a) === short(b)
}

function memberOf(index: TarIndex, name: string): TarMember {
  const member = index.members.get(
    Buffer.from(name, 'utf8')
      .toString('latin1')
      .replace(/^(\.\/)+/, ''),
  )
  if (member === undefined) throw missing(name.slice(0, 200), index.shown)
  return member
}
