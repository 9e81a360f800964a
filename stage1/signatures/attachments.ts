import { createHash } from 'node:crypto'
import type { Descriptor, ImageSource } from '../image/index.ts'
import { ManifestError, parseJson, ShapeReader } from '../manifest/index.ts'
import { SignatureError } from './errors.ts'

/** A signature that lies beside an image, as received: nothing is verified but its digest. */
export type Attachment = {
  /** Digest of the document that it is attached to. */
  readonly of: string
} & (
  | { readonly kind: 'payload'; readonly bytes: Uint8Array; readonly annotations: ReadonlyMap<string, string> }
  | { readonly kind: 'bundle'; readonly bytes: Uint8Array }
)

const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json'
const BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle(\.v0\.3)?\+json(;version=0\.[123])?$/
/** What holds signatures as its layers. */
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
/** Artifact types of referrers that may hold either; an index of older tools may leave them out. */
const SIGNATURES = /^application\/vnd\.dev\.(sigstore\.bundle|cosign\.artifact\.sig)/
/** Each is fetched and verified: an image has a few. */
const MAX_ATTACHMENTS = 32
const MAX_REFERRERS = 1000
const MAX_MANIFEST_BYTES = 1 << 20
/** A bundle may hold an SBOM as its statement. */
const MAX_ATTACHMENT_BYTES = 4 << 20

/**
 * Looks up the signatures of documents in the three places where cosign puts them: the tag `sha256-<hex>.sig`, the
 * registry's list of referrers, and for registries without one the tag `sha256-<hex>` (distribution-spec v1.1, "Referrers
 * Tag Schema").
 *
 * @param digests `sha256:<hex>` of the image's index and manifest
 * @throws ImageError of the source, SignatureError IMAGE_SIGNATURE_BAD for what is malformed or beyond a limit
 */
export async function findAttachments(source: ImageSource, digests: readonly string[]): Promise<readonly Attachment[]> {
  const found: Attachment[] = []
  for (const of of digests) {
    const tag = of.replace(':', '-')
    const signed = await source.tagged(`${tag}.sig`)
    if (signed !== undefined) await readManifest(source, signed.bytes, of, found)
    for (const descriptor of readReferrers((await source.referrers(of)) ?? (await fallback(source, tag)))) {
      const bytes = await source.document(descriptor)
      checkDigest(bytes, descriptor)
      await readManifest(source, bytes, of, found)
    }
  }
  return found
}

async function fallback(source: ImageSource, tag: string): Promise<readonly Uint8Array[]> {
  const found = await source.tagged(tag)
  return found === undefined ? [] : [found.bytes]
}

async function readManifest(source: ImageSource, bytes: Uint8Array, of: string, into: Attachment[]): Promise<void> {
  for (const { descriptor, annotations } of readLayers(bytes)) {
    const isPayload = descriptor.mediaType === SIMPLE_SIGNING
    if (!isPayload && !BUNDLE.test(descriptor.mediaType)) continue
    if (into.length === MAX_ATTACHMENTS) throw bad(`an image with more than ${MAX_ATTACHMENTS} signatures`)
    const content = await readBlob(source, descriptor)
    into.push(isPayload ? { kind: 'payload', of, bytes: content, annotations } : { kind: 'bundle', of, bytes: content })
  }
}

async function readBlob(source: ImageSource, descriptor: Descriptor): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of source.blob(descriptor)) {
    size += part.length
    if (size > descriptor.sizeBytes) break // checkDigest says so
    parts.push(part)
  }
  const bytes = Buffer.concat(parts)
  checkDigest(bytes, descriptor)
  return new Uint8Array(bytes)
}

function checkDigest(bytes: Uint8Array, { digest }: Descriptor): void {
  const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  if (found !== digest) throw bad(`${digest} is not what came for it`)
}

/** Signatures among the entries: of others nothing is read, as they may be anything. */
function readReferrers(pages: readonly Uint8Array[]): readonly Descriptor[] {
  let entries = 0
  return pages
    .flatMap((page) =>
      reading(page, 'list of referrers', (r, o) => {
        const list = r.list(o['manifests'], '$.manifests', MAX_REFERRERS)
        entries += list.length
        if (entries > MAX_REFERRERS) r.complain('$.manifests', `more than ${MAX_REFERRERS} in all pages`)
        return list.flatMap((value, i) => {
          const at = `$.manifests[${i}]`
          const entry = r.object(value, at)
          const type = r.optionalString(entry['artifactType'], `${at}.artifactType`)
          if (entry['mediaType'] !== MANIFEST || (type !== undefined && !SIGNATURES.test(type))) return []
          return [readDescriptor(r, value, at, MAX_MANIFEST_BYTES).descriptor]
        })
      }),
    )
    .slice(0, MAX_ATTACHMENTS)
}

interface Layer {
  readonly descriptor: Descriptor
  readonly annotations: ReadonlyMap<string, string>
}

function readLayers(bytes: Uint8Array): readonly Layer[] {
  return reading(bytes, 'manifest of signatures', (r, o) =>
    r
      .list(o['layers'], '$.layers', MAX_REFERRERS)
      .map((value, i) => readDescriptor(r, value, `$.layers[${i}]`, MAX_ATTACHMENT_BYTES)),
  )
}

function readDescriptor(r: ShapeReader, value: unknown, at: string, maxBytes: number): Layer {
  const o = r.object(value, at)
  const digest = r.string(o['digest'], `${at}.digest`)
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) r.complain(`${at}.digest`, 'must be sha256: and 64 hex digits')
  const size = o['size']
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0 || size > maxBytes) {
    r.complain(`${at}.size`, `must be a size of at most ${maxBytes} bytes`)
  }
  const entries = Object.entries(r.optionalObject(o['annotations'], `${at}.annotations`) ?? {})
  const annotations = new Map(entries.map(([k, v]) => [k, r.string(v, `${at}.annotations.${k}`)]))
  const mediaType = r.string(o['mediaType'], `${at}.mediaType`)
  return { descriptor: { mediaType, digest, sizeBytes: Number(size), annotations }, annotations }
}

function reading<T>(
  bytes: Uint8Array,
  what: string,
  read: (r: ShapeReader, o: Readonly<Record<string, unknown>>) => T,
): T {
  try {
    const r = new ShapeReader(what)
    const result = read(r, r.object(parseJson(bytes, what), '$'))
    r.finish()
    return result
  } catch (cause) {
    if (!(cause instanceof ManifestError)) throw cause
    throw bad(cause.message, cause)
  }
}

function bad(why: string, cause?: unknown): SignatureError {
  return new SignatureError('IMAGE_SIGNATURE_BAD', `what lies beside the image as its signatures: ${why}`, { cause })
}
