import { fromHex, utf8 } from '../../base/index.ts'
import { bytesText, type FileKey } from '../../crypto/index.ts'
import { type KnownImaEntries, knownImaEntries } from '../../event-log/index.ts'
import type { NamedFileKey } from './file-keys.ts'
import { type PathGlob, pathGlob } from './glob.ts'

/**
 * What may run on a machine, by the files that IMA measures. Every list may be empty; what nothing here allows is a
 * failure.
 */
export interface ImaPolicy {
  /** Accepted digests by path, hex; of an fs-verity digest `verity:` and hex. */
  readonly files: ReadonlyMap<string, readonly string[]>
  /** Patterns of paths that are not judged: `*` within a directory, `**` across, `?` one byte. */
  readonly excludes: readonly string[]
  /** Whose signature of a file is as good as a listed digest. */
  readonly signatureKeys: readonly NamedFileKey[]
  /** Every file that is not excluded needs a good signature; a listed digest is not enough. */
  readonly requireSignature: boolean
  /** Accepted keys by keyring: hex digests of what was measured, in the digest field's hash. */
  readonly keyrings: ReadonlyMap<string, readonly string[]>
  /** Keyrings that are not judged; `*` is all. */
  readonly ignoredKeyrings: readonly string[]
  /** Keyrings whose accepted keys may sign files of the same machine in the same boot. */
  readonly learnKeysFrom: readonly string[]
  /**
   * Other measured buffers (command line, device mapper, state of an LSM): hex digests by pattern of their name, or
   * `any`.
   */
  readonly buffers: ReadonlyMap<string, readonly string[] | 'any'>
  /**
   * Files measured while they could be written. The list does not tell a file written before from one written after.
   */
  readonly violations: 'refuse' | 'warn' | 'allow'
}

/** A policy that allows nothing. */
export const EMPTY_IMA_POLICY: ImaPolicy = {
  files: new Map(),
  excludes: [],
  signatureKeys: [],
  requireSignature: false,
  keyrings: new Map(),
  ignoredKeyrings: [],
  learnKeysFrom: [],
  buffers: new Map(),
  violations: 'refuse',
}

/**
 * The accepted digest of each name, or where there are several a set: nearly all have one, and a set costs more than
 * the digest.
 */
export type DigestsByName = ReadonlyMap<string, string | ReadonlySet<string>>

/**
 * A policy made ready for lists. Paths and digests are binary strings. It also remembers entries that it allowed, of
 * all machines.
 */
export interface CompiledImaPolicy {
  readonly policy: ImaPolicy
  readonly files: DigestsByName
  readonly excludes: readonly PathGlob[]
  readonly keysById: ReadonlyMap<number, readonly FileKey[]>
  readonly keyrings: DigestsByName
  readonly buffers: readonly { readonly of: PathGlob; readonly digests: ReadonlySet<string> | 'any' }[]
  readonly known: KnownImaEntries
  /** Signatures that were good, by digest and signature: one file is signed once, and measured everywhere. */
  readonly goodSignatures: Set<string>
}

const VERITY = 'verity:'

/** @throws RangeError for a digest that is not hex, or a pattern that is too long: the message names it */
export function compileImaPolicy(policy: ImaPolicy): CompiledImaPolicy {
  return {
    policy,
    files: digestsByName(policy.files),
    excludes: policy.excludes.map((pattern) => pathGlob(kernelName(pattern))),
    keysById: keysById(policy.signatureKeys),
    keyrings: digestsByName(policy.keyrings),
    buffers: Array.from(policy.buffers, ([pattern, digests]) => ({
      of: pathGlob(kernelName(pattern)),
      digests: digests === 'any' ? 'any' : digestSet(pattern, digests),
    })),
    known: knownImaEntries('sha256'),
    goodSignatures: new Set(),
  }
}

/** A name as it stands in a list: UTF-8 bytes, `_` for every space. */
function kernelName(name: string): string {
  return bytesText(utf8(name.replaceAll(' ', '_')))
}

/** The form in which digests are compared: bytes, marked where they are of fs-verity. */
export function digestKey(of: 'content' | 'verity', bytes: Uint8Array): string {
  return of === 'verity' ? VERITY + bytesText(bytes) : bytesText(bytes)
}

export function keysById(keys: readonly NamedFileKey[]): Map<number, FileKey[]> {
  const byId = new Map<number, FileKey[]>()
  for (const { key, keyIds } of keys) {
    for (const id of keyIds) byId.set(id, [...(byId.get(id) ?? []), key])
  }
  return byId
}

export function isAccepted(accepted: string | ReadonlySet<string> | undefined, digest: string): boolean {
  return typeof accepted === 'object' ? accepted.has(digest) : accepted === digest
}

function digestsByName(lists: ReadonlyMap<string, readonly string[]>): DigestsByName {
  const byName = new Map<string, string | Set<string>>()
  for (const [key, digests] of lists) {
    const name = kernelName(key)
    const before = byName.get(name) ?? []
    const all = new Set([...(typeof before === 'string' ? [before] : before), ...digestSet(key, digests)])
    const [only] = all
    byName.set(name, all.size === 1 && only !== undefined ? only : all)
  }
  return byName
}

function digestSet(name: string, digests: readonly string[]): Set<string> {
  return new Set(
    digests.map((digest) => {
      const verity = digest.startsWith(VERITY)
      try {
        return digestKey(verity ? 'verity' : 'content', fromHex(verity ? digest.slice(VERITY.length) : digest))
      } catch (cause) {
        throw new RangeError(`a digest of ${name} is not hex: ${digest.slice(0, 80)}`, { cause })
      }
    }),
  )
}
