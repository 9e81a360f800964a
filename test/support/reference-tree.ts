import { createHash } from 'node:crypto'

// RFC 9162 §2.1 as it is written there, recursive over all leaves: slow, and apart from the code under test.

const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}

/** The largest power of two smaller than n; n is 2 at least. */
function split(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

/** MTH(D). Source: RFC 9162 §2.1.1. */
export function referenceRoot(entries: readonly Uint8Array[]): Uint8Array {
  const [first] = entries
  if (first === undefined) return sha256()
  if (entries.length === 1) return sha256(Uint8Array.of(0), first)
  const k = split(entries.length)
  return sha256(Uint8Array.of(1), referenceRoot(entries.slice(0, k)), referenceRoot(entries.slice(k)))
}

/** PATH(m, D). Source: RFC 9162 §2.1.3.1. */
export function referencePath(m: number, entries: readonly Uint8Array[]): Uint8Array[] {
  if (entries.length === 1) return []
  const k = split(entries.length)
  const [left, right] = [entries.slice(0, k), entries.slice(k)]
  return m < k
    ? [...referencePath(m, left), referenceRoot(right)]
    : [...referencePath(m - k, right), referenceRoot(left)]
}

/** PROOF(m, D), for m from 1 to the number of entries. Source: RFC 9162 §2.1.4.1. */
export function referenceConsistency(m: number, entries: readonly Uint8Array[], whole = true): Uint8Array[] {
  if (m === entries.length) return whole ? [] : [referenceRoot(entries)]
  const k = split(entries.length)
  const [left, right] = [entries.slice(0, k), entries.slice(k)]
  return m <= k
    ? [...referenceConsistency(m, left, whole), referenceRoot(right)]
    : [...referenceConsistency(m - k, right, false), referenceRoot(left)]
}

/** The entries 0, 1, 2 ..., two bytes each. */
export function numberedEntries(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => Uint8Array.of(i >> 8, i))
}
