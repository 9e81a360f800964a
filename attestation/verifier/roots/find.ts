import { VerifierError } from '../config/index.ts'
import { removeFromRootsDirectory } from './directory.ts'
import type { ShownRoot } from './report.ts'

/** Shortest beginning of a fingerprint that names an item. */
const MIN_PREFIX = 4

/**
 * @param id a SHA-256 in hex, or the beginning of one; colons do not count
 * @throws VerifierError VERIFIER_ROOT_UNKNOWN when none or several answer to it
 */
export function findRoot(roots: readonly ShownRoot[], id: string): ShownRoot {
  const wanted = id.toLowerCase().replaceAll(':', '')
  const found = wanted.length < MIN_PREFIX ? [] : roots.filter((r) => r.fingerprint.startsWith(wanted))
  const [root] = found
  if (root === undefined) {
    throw new VerifierError('VERIFIER_ROOT_UNKNOWN', `no certificate or CRL has ${id}; see: holdfast roots list`)
  }
  if (found.length > 1) {
    throw new VerifierError('VERIFIER_ROOT_UNKNOWN', `${found.length} answer to ${id}; give more of the SHA-256`)
  }
  return root
}

/**
 * Takes a certificate or CRL out of the roots directory.
 * @throws VerifierError VERIFIER_ROOT_IN_USE when nodes rely on it and `force` is not given
 */
export function removeRoot(directory: string, root: ShownRoot, force: boolean): void {
  if (!force && root.nodes !== null && root.nodes.length > 0) {
    const names = root.nodes.slice(0, 3).map((id) => id.slice(0, 12))
    const more = root.nodes.length > names.length ? ' and others' : ''
    throw new VerifierError(
      'VERIFIER_ROOT_IN_USE',
      `${root.nodes.length} nodes rely on ${root.subject}: ${names.join(', ')}${more}; ` +
        'without it they are refused when they come back, unless another path is there or they are listed; if that is meant: --force',
    )
  }
  removeFromRootsDirectory(directory, root.fingerprint)
}
