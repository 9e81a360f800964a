import type { SignedIdentity } from './policy.ts'
import { repositoryOf } from './scope.ts'

/**
 * Whether the reference that a signature names is one that the policy takes for this image. Without it, a signature of
 * one image would do for another that the same key has signed.
 *
 * @param imageName the reference in its full form
 * @param signed what the signature names, undefined where it names nothing
 * @returns undefined, or why not
 */
export function identityFault(
  identity: SignedIdentity,
  imageName: string,
  signed: string | undefined,
): string | undefined {
  if (identity.type === 'matchDigest') return undefined
  if (signed === undefined) return 'it names no image reference; signedIdentity matchDigest would take it'
  const named = normal(signed)
  if (named === undefined) return `'${signed.slice(0, 200)}' is no image reference`
  const wanted = wantedBy(identity, imageName)
  if (typeof wanted === 'string') return wanted
  if (wanted.some((w) => (w.whole ? w.text === named : w.text === repositoryOf(named)))) return undefined
  const list = wanted.map((w) => w.text).join(' or ')
  return `it is for '${signed.slice(0, 200)}', wanted ${list} (signedIdentity ${identity.type})`
}

interface Wanted {
  readonly text: string
  /** Tag or digest included. */
  readonly whole: boolean
}

function wantedBy(identity: Exclude<SignedIdentity, { type: 'matchDigest' }>, imageName: string): Wanted[] | string {
  switch (identity.type) {
    case 'exactReference':
      return [{ text: normal(identity.dockerReference) ?? identity.dockerReference, whole: true }]
    case 'exactRepository':
      return [{ text: repositoryOf(normal(identity.dockerRepository) ?? identity.dockerRepository), whole: false }]
  }
  if (!imageName.startsWith('docker://')) {
    return `${imageName.slice(0, 200)} has no docker reference of its own; use exactReference, exactRepository or matchDigest`
  }
  const reference = imageName.slice('docker://'.length)
  switch (identity.type) {
    case 'matchRepository':
      return [{ text: repositoryOf(reference), whole: false }]
    case 'matchExact':
      return [{ text: withoutTagIfDigest(reference), whole: true }]
    case 'matchRepoDigestOrExact':
      return reference.includes('@')
        ? [{ text: repositoryOf(reference), whole: false }]
        : [{ text: reference, whole: true }]
    case 'remapIdentity': {
      const text = remapped(identity.prefix, identity.signedPrefix, reference)
      return reference.includes('@') ? [{ text: repositoryOf(text), whole: false }] : [{ text, whole: true }]
    }
    default:
      return identity satisfies never
  }
}

function remapped(prefix: string, signedPrefix: string, reference: string): string {
  const next = reference[prefix.length]
  const applies = reference.startsWith(prefix) && (next === undefined || '/:@'.includes(next))
  return applies ? signedPrefix + reference.slice(prefix.length) : reference
}

/** With both, the digest is what was asked for. */
function withoutTagIfDigest(reference: string): string {
  const at = reference.indexOf('@')
  return at < 0 ? reference : repositoryOf(reference) + reference.slice(at)
}

const REFERENCE = /^[A-Za-z0-9][A-Za-z0-9._:/@[\]-]{0,1023}$/

/** The full form of what people write for images of Docker Hub: `busybox` is `docker.io/library/busybox`. */
function normal(reference: string): string | undefined {
  if (!REFERENCE.test(reference)) return undefined
  const slash = reference.indexOf('/')
  const first = slash < 0 ? '' : reference.slice(0, slash)
  if (first === 'index.docker.io') return normal(`docker.io${reference.slice(slash)}`)
  if (first !== '' && (/[.:]/.test(first) || first === 'localhost')) {
    return first === 'docker.io' && !reference.slice(slash + 1).includes('/')
      ? `docker.io/library/${reference.slice(slash + 1)}`
      : reference
  }
  return slash < 0 ? `docker.io/library/${reference}` : `docker.io/${reference}`
}
