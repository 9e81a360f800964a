import type { Static } from '@sinclair/typebox'
import { listed } from '../outcome.ts'
import type { ReferenceDigests as Schema } from '../schema-words.ts'

/** Digests that are known, with the names they have for people. */
export type ReferenceDigests = ReadonlyMap<string, string | undefined>

export function referenceDigests(list: Static<typeof Schema>): ReferenceDigests {
  return new Map(list.map((item) => (typeof item === 'string' ? [item, undefined] : [item.digest, item.name])))
}

/** e.g. `one of 3: shim 15.8, 5f21ff2c0d5d…`. */
export function referencesText(digests: ReferenceDigests): string {
  const names = [...digests].map(([digest, name]) => name ?? shortDigest(digest))
  return digests.size === 1 ? listed(names) : `one of ${digests.size}: ${listed(names)}`
}

export function shortDigest(digest: string): string {
  return `${digest.slice(0, 16)}…`
}
