import fs from 'node:fs'
import path from 'node:path'
import { codeOf, messageOf } from '../../attestation/base/index.ts'
import { parseJson, ShapeReader } from '../manifest/index.ts'
import { ImageError } from './errors.ts'
import { LIMITS } from './limits.ts'
import {
  asManifestError,
  choosePlatform,
  type Descriptor,
  hostPlatform,
  INDEX_TYPES,
  parseOciDocument,
  REF_NAME,
} from './oci.ts'
import type { ImageSource } from './source.ts'

const READ_BYTES = 1024 * 1024

/**
 * An OCI image layout on disk (OCI image-spec v1.1, image-layout.md).
 *
 * @param ref the ref name to take; without one the layout must hold one image for this machine
 */
export function openOciLayout(directory: string, ref: string | undefined): ImageSource {
  return {
    root: async () => {
      const marker = read(directory, 'oci-layout', LIMITS.configBytes)
      asManifestError(() => {
        const r = new ShapeReader(`${directory}/oci-layout`)
        const version = r.object(parseJson(marker, 'oci-layout'), '$')['imageLayoutVersion']
        if (version !== '1.0.0') r.complain('$.imageLayoutVersion', "must be '1.0.0'")
        r.finish()
      })
      const chosen = choose(readIndex(directory), ref, directory)
      return { bytes: blob(directory, chosen), mediaType: chosen.mediaType, digest: chosen.digest }
    },
    document: async (descriptor) => blob(directory, descriptor),
    async *blob(descriptor) {
      try {
        const stream = fs.createReadStream(blobFile(directory, descriptor), { highWaterMark: READ_BYTES })
        for await (const chunk of stream) yield chunk as Buffer // no encoding is set
      } catch (cause) {
        throw sourceError(cause, descriptor.digest)
      }
    },
    tagged: async (tag) => {
      const index = readIndex(directory)
      const named = index.filter((m) => m.annotations.get(REF_NAME) === tag)
      const [only, ...others] = named
      if (only === undefined || others.length > 0) return undefined
      return { bytes: blob(directory, only), mediaType: only.mediaType }
    },
    referrers: async () => undefined, // a layout has no such list; the fallback tag is looked up as any other
    relaxed: () => [],
    close: () => {},
  }
}

function readIndex(directory: string): readonly Descriptor[] {
  const index = parseOciDocument(read(directory, 'index.json', LIMITS.manifestBytes), INDEX_TYPES[0])
  if (index.kind !== 'index') throw new TypeError('parsed as an index')
  return index.manifests
}

function choose(manifests: readonly Descriptor[], ref: string | undefined, directory: string): Descriptor {
  const named = ref === undefined ? manifests : manifests.filter((m) => m.annotations.get(REF_NAME) === ref)
  if (named.length === 0) {
    const names = manifests.slice(0, 20).flatMap((m) => m.annotations.get(REF_NAME) ?? [])
    const there = names.length > 0 ? `there is ${names.join(', ')}` : 'its images have no names'
    throw new ImageError(
      'IMAGE_NOT_FOUND',
      `${directory} holds no image${ref === undefined ? '' : ` '${ref}'`}; ${there}`,
    )
  }
  return choosePlatform(named, hostPlatform())
}

function blob(directory: string, descriptor: Descriptor): Buffer {
  if (descriptor.sizeBytes > LIMITS.manifestBytes) {
    throw new ImageError('IMAGE_TOO_LARGE', `manifest ${descriptor.digest} of ${descriptor.sizeBytes} bytes`)
  }
  return read(directory, blobFile(directory, descriptor), descriptor.sizeBytes)
}

function blobFile(directory: string, descriptor: Descriptor): string {
  return path.join(directory, 'blobs', descriptor.digest.replace(':', '/'))
}

function read(directory: string, name: string, maxBytes: number): Buffer {
  const file = path.resolve(directory, name)
  let fd: number | undefined
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
    const stat = fs.fstatSync(fd)
    if (!stat.isFile()) throw new ImageError('IMAGE_SOURCE_BAD', `${file} is not a regular file`)
    if (stat.size > maxBytes) {
      const code = name === 'index.json' || name === 'oci-layout' ? 'IMAGE_TOO_LARGE' : 'IMAGE_SIZE_MISMATCH'
      throw new ImageError(code, `${file} has ${stat.size} bytes, ${maxBytes} are allowed`)
    }
    return fs.readFileSync(fd)
  } catch (cause) {
    if (cause instanceof ImageError) throw cause
    if (name === 'oci-layout' && codeOf(cause) === 'ENOTDIR') {
      throw new ImageError('IMAGE_SOURCE_BAD', `${directory} is a file, neither an .aci nor an OCI image layout`, {
        cause,
      })
    }
    if (name === 'oci-layout' && codeOf(cause) === 'ENOENT') {
      throw new ImageError('IMAGE_NOT_FOUND', `${directory} is no OCI image layout: it has no oci-layout file`, {
        cause,
      })
    }
    throw sourceError(cause, file)
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

function sourceError(cause: unknown, what: string): ImageError {
  if (codeOf(cause) === 'ENOENT') return new ImageError('IMAGE_BLOB_MISSING', `${what} is not in the layout`, { cause })
  return new ImageError('IMAGE_SOURCE_BAD', `cannot read ${what}: ${messageOf(cause)}`, { cause })
}
