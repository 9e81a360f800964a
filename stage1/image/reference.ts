import path from 'node:path'
import { ImageError } from './errors.ts'

/** What the text of an image argument asks for. `name` is the full form under which the store knows the image. */
export type ImageReference =
  | {
      readonly kind: 'registry'
      readonly name: string
      /** `host` or `host:port`; IPv6 in brackets. */
      readonly registry: string
      readonly repository: string
      readonly tag?: string
      /** `sha256:<hex>` of the manifest or index. */
      readonly digest?: string
    }
  | { readonly kind: 'oci-layout'; readonly name: string; readonly directory: string; readonly ref?: string }
  /** A file that holds images: of `docker save`, or an OCI layout in a tar; by its contents where `format` is `any`. */
  | {
      readonly kind: 'archive'
      readonly name: string
      readonly format: 'oci' | 'docker' | 'any'
      readonly file: string
      /** Ref name of a layout, `NAME:TAG` of a docker archive. */
      readonly ref?: string
    }
  | { readonly kind: 'aci-file'; readonly name: string; readonly file: string }
  | { readonly kind: 'aci-url'; readonly name: string; readonly url: URL }
  /** The name, the ID, or a prefix of the ID of an image in the store. */
  | { readonly kind: 'stored'; readonly name: string }

const MAX_REFERENCE = 1024
const HOST = /^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?)(:[0-9]{1,5})?$/
const REPOSITORY = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
const ARCHIVE = /\.(tar|tgz|tar\.(gz|bz2|xz|zst))$/
const DIGEST = /^sha256:[0-9a-f]{64}$/

/**
 * Reads an image argument:
 * `docker://HOST[:PORT]/NAME[:TAG][@sha256:DIGEST]` (the host is not guessed), `oci:/PATH[:REF]`,
 * `oci-archive:/FILE[:REF]`, `docker-archive:/FILE[:NAME:TAG]`, `https://HOST/PATH` of an ACI, an absolute or `./` path
 * of an OCI layout, of an archive of images (.tar, perhaps compressed) or of a file ending in .aci, or else a name or ID
 * of the store.
 *
 * @param cwd what a relative path is relative to
 * @throws ImageError IMAGE_REFERENCE_BAD
 */
export function parseReference(text: string, cwd: string): ImageReference {
  if (text === '' || text.length > MAX_REFERENCE || /[\0-\x20\x7f]/.test(text)) {
    throw bad(text, 'it is empty, too long, or contains white space or control characters')
  }
  if (text.startsWith('docker://')) return parseRegistryReference(text)
  if (text.startsWith('oci:')) return parseLayoutReference(text.slice('oci:'.length), text, cwd)
  for (const format of ['oci', 'docker'] as const) {
    if (text.startsWith(`${format}-archive:`)) return parseArchiveReference(text, format, cwd)
  }
  if (/^https?:\/\//.test(text)) return parseUrlReference(text)
  if (/^[a-z][a-z0-9+.-]*:\/\//.test(text)) {
    throw bad(text, 'known are docker://, https://, oci:, oci-archive: and docker-archive:')
  }
  if (text.startsWith('/') || text.startsWith('./') || text.startsWith('../') || text === '.' || text === '..') {
    const file = path.resolve(cwd, text)
    if (file.endsWith('.aci')) return { kind: 'aci-file', name: file, file }
    if (ARCHIVE.test(file)) return { kind: 'archive', name: file, format: 'any', file }
    return parseLayoutReference(text, text, cwd)
  }
  return { kind: 'stored', name: text }
}

/** Whether a text is `host` or `host:port` of a registry, in lower case. */
export function isRegistryHost(text: string): boolean {
  return HOST.test(text) && text === text.toLowerCase() && Number(text.match(/:([0-9]+)$/)?.[1] ?? 1) <= 65535
}

function parseRegistryReference(text: string): ImageReference {
  const rest = text.slice('docker://'.length)
  const slash = rest.indexOf('/')
  if (slash <= 0) throw bad(text, 'write docker://HOST[:PORT]/NAME[:TAG]')
  const registry = rest.slice(0, slash).toLowerCase()
  if (!isRegistryHost(registry)) {
    throw bad(text, `'${registry}' is not a host`)
  }
  const [named = '', digest, ...more] = rest.slice(slash + 1).split('@')
  if (more.length > 0 || (digest !== undefined && !DIGEST.test(digest))) {
    throw bad(text, 'what follows @ must be sha256: and 64 lowercase hex digits')
  }
  const colon = named.indexOf(':')
  const repository = colon < 0 ? named : named.slice(0, colon)
  if (!REPOSITORY.test(repository) || repository.length > 255)
    throw bad(text, `'${repository}' is not a repository name`)
  const given = colon < 0 ? undefined : named.slice(colon + 1)
  if (given !== undefined && !TAG.test(given)) throw bad(text, `'${given}' is not a tag`)
  const tag = given ?? (digest === undefined ? 'latest' : undefined)
  const name = `docker://${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`
  return { kind: 'registry', name, registry, repository, ...(tag && { tag }), ...(digest && { digest }) }
}

function parseLayoutReference(given: string, text: string, cwd: string): ImageReference {
  // A colon after the last slash starts the ref name, as in skopeo and umoci.
  const colon = given.indexOf(':', given.lastIndexOf('/') + 1)
  const directory = path.resolve(cwd, colon < 0 ? given : given.slice(0, colon))
  const ref = colon < 0 ? undefined : given.slice(colon + 1)
  if (given === '' || ref === '') throw bad(text, 'write oci:/PATH or oci:/PATH:REF')
  return {
    kind: 'oci-layout',
    name: `oci:${directory}${ref === undefined ? '' : `:${ref}`}`,
    directory,
    ...(ref && { ref }),
  }
}

function parseArchiveReference(text: string, format: 'oci' | 'docker', cwd: string): ImageReference {
  const given = text.slice(`${format}-archive:`.length)
  // The first colon, as in skopeo: what follows may be a name with slashes and colons.
  const colon = given.indexOf(':')
  const ref = colon < 0 ? undefined : given.slice(colon + 1)
  const file = path.resolve(cwd, colon < 0 ? given : given.slice(0, colon))
  if (given === '' || colon === 0 || ref === '')
    throw bad(text, `write ${format}-archive:/FILE or ${format}-archive:/FILE:REF`)
  const name = `${format}-archive:${file}${ref === undefined ? '' : `:${ref}`}`
  return { kind: 'archive', name, format, file, ...(ref && { ref }) }
}

function parseUrlReference(text: string): ImageReference {
  if (!URL.canParse(text)) throw bad(text, 'this is no URL')
  const url = new URL(text)
  // The name is recorded, measured and shown to verifiers: nothing that could be a password may be in it.
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw bad(`${url.origin}${url.pathname}`, 'a URL of an ACI has no user, query or fragment')
  }
  return { kind: 'aci-url', name: url.href, url }
}

function bad(text: string, why: string): ImageError {
  const shown = JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}...` : text)
  return new ImageError('IMAGE_REFERENCE_BAD', `${shown} names no image: ${why}`)
}
