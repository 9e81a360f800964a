import { toHex } from '../base/index.ts'
import { type Certificate, isSelfIssued } from './certificate.ts'
import type { RevocationList } from './crl.ts'

/** The CAs an operator trusts to endorse TPMs, and intermediates that help to reach them. */
export interface RootStore {
  /** Hex fingerprints of `anchors`. */
  readonly anchorFingerprints: ReadonlySet<string>
  /** By key of the subject name. */
  readonly anchors: ReadonlyMap<string, readonly Certificate[]>
  readonly intermediates: ReadonlyMap<string, readonly Certificate[]>
  /** By key of the issuer's name. */
  readonly crls: ReadonlyMap<string, readonly RevocationList[]>
}

/**
 * @param anchors trusted as they are, self-signed or not: a path may end at any of them
 * @param intermediates not trusted themselves; only used where a path needs them
 * @param crls not trusted either: each is verified with the key of the path that it is about
 */
export function makeRootStore(
  anchors: readonly Certificate[],
  intermediates: readonly Certificate[] = [],
  crls: readonly RevocationList[] = [],
): RootStore {
  return {
    anchorFingerprints: new Set(anchors.map((a) => toHex(a.fingerprint))),
    anchors: bySubject(anchors),
    intermediates: bySubject(intermediates),
    crls: grouped(crls, (crl) => crl.issuer.key),
  }
}

/** A store of what a bundle holds: self-issued certificates are anchors, the others intermediates. */
export function makeRootStoreOfBundle(
  certificates: readonly Certificate[],
  crls: readonly RevocationList[] = [],
): RootStore {
  return makeRootStore(
    certificates.filter((c) => isSelfIssued(c)),
    certificates.filter((c) => !isSelfIssued(c)),
    crls,
  )
}

/** Certificates by key of their subject, doubles left out. */
export function bySubject(certificates: readonly Certificate[]): ReadonlyMap<string, readonly Certificate[]> {
  return grouped(certificates, (c) => c.subject.key)
}

function grouped<T extends { readonly fingerprint: Uint8Array }>(
  items: readonly T[],
  keyOf: (item: T) => string,
): ReadonlyMap<string, readonly T[]> {
  const map = new Map<string, T[]>()
  const seen = new Set<string>()
  for (const item of items) {
    const id = toHex(item.fingerprint)
    if (seen.has(id)) continue
    seen.add(id)
    const key = keyOf(item)
    const same = map.get(key)
    if (same === undefined) map.set(key, [item])
    else same.push(item)
  }
  return map
}
