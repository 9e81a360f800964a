import type { ImagePolicy, Requirement } from './policy.ts'

/** An image as policies speak of it. */
export interface NamedImage {
  readonly kind: 'oci' | 'aci'
  /** The reference in its full form: `docker://HOST/NAME:TAG`, `oci:/PATH:REF`, `oci-archive:/FILE:REF`, or a path. */
  readonly name: string
  /** Of an ACI, the name inside its manifest. */
  readonly manifestName: string
}

/** The requirements for one image, and where in the policy they are. */
export interface ScopedRequirements {
  /** As `docker registry.example/app`, `aci ""` or `default`. */
  readonly scope: string
  readonly requirements: readonly Requirement[]
}

/** Finds the most specific scope that an image is in (containers-policy.json(5), "Supported transports and their scopes"). */
export function requirementsFor(policy: ImagePolicy, image: NamedImage): ScopedRequirements {
  const { transport, scopes } = scopesOf(image)
  const known = policy.transports.get(transport)
  for (const scope of [...scopes, '']) {
    const requirements = known?.get(scope)
    if (requirements !== undefined) return { scope: `${transport} ${scope === '' ? '""' : scope}`, requirements }
  }
  return { scope: 'default', requirements: policy.fallback }
}

function scopesOf(image: NamedImage): { readonly transport: string; readonly scopes: readonly string[] } {
  if (image.kind === 'aci') return { transport: 'aci', scopes: parents(image.manifestName) }
  if (image.name.startsWith('docker://')) return { transport: 'docker', scopes: dockerScopes(image.name.slice(9)) }
  const colon = image.name.startsWith('/') ? -1 : image.name.indexOf(':')
  // a file named by its path alone may be either kind of archive; it is one of these
  return {
    transport: colon < 0 ? 'oci-archive' : image.name.slice(0, colon),
    scopes: layoutScopes(image.name.slice(colon + 1)),
  }
}

/** The reference itself, its repository, each namespace, the host, then wildcards for the host's domains. */
function dockerScopes(reference: string): readonly string[] {
  const repository = repositoryOf(reference)
  const host = repository.slice(0, repository.indexOf('/'))
  const labels = host.split('.')
  const wildcards = labels.slice(1).map((_, i) => `*.${labels.slice(i + 1).join('.')}`)
  // with tag and digest, the digest decides what is fetched, so only a scope of that digest is about it
  const [named = '', digest] = reference.split('@')
  const exact = digest === undefined ? named : `${repository}@${digest}`
  return [exact, ...parents(repository), ...wildcards]
}

/** A reference without tag and digest. */
export function repositoryOf(reference: string): string {
  const named = reference.split('@', 1)[0] ?? reference
  const colon = named.lastIndexOf(':')
  return colon > named.lastIndexOf('/') ? named.slice(0, colon) : named
}

function layoutScopes(reference: string): readonly string[] {
  const directory = repositoryOf(reference)
  const above = parents(directory).filter((dir) => dir !== '' && dir !== '/')
  return [...new Set([reference, ...above])]
}

/** `a/b/c`, `a/b`, `a`. */
function parents(name: string): readonly string[] {
  const parts = name.split('/')
  return parts.map((_, i) => parts.slice(0, parts.length - i).join('/'))
}
