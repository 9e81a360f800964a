import type { Brand } from '../../attestation/base/index.ts'

/**
 * `erofs-verity-2:sha256:<hex>`: the dm-verity root hash over a rendered EROFS file, and the version of the rules by
 * which the file was rendered (stage1/image/README.md). A verifier compares it as a whole: another version is another
 * digest.
 */
export type TreeDigest = Brand<string, 'TreeDigest'>

const PREFIX = 'erofs-verity-2:sha256:'

/** @throws RangeError for another version, another algorithm or anything but 64 lowercase hex digits */
export function parseTreeDigest(text: string): TreeDigest {
  if (!text.startsWith(PREFIX) || !/^[0-9a-f]{64}$/.test(text.slice(PREFIX.length))) {
    throw new RangeError(`'${text.slice(0, 100)}' is not a tree digest (${PREFIX} and 64 lowercase hex digits)`)
  }
  return text as TreeDigest // the test above is the constructor's check
}

/**
 * @param rootHash 64 lowercase hex digits
 * @throws RangeError for anything else
 */
export function formatTreeDigest(rootHash: string): TreeDigest {
  return parseTreeDigest(PREFIX + rootHash)
}

/** Whether a value is a tree digest of the version before, which depended on the version of erofs-utils. */
export function isOutdatedTreeDigest(value: unknown): boolean {
  return typeof value === 'string' && /^erofs-verity-1:sha256:[0-9a-f]{64}$/.test(value)
}

/** The root hash alone, 64 lowercase hex digits: the name of the file in `trees/`, and what dm-verity is given. */
export function rootHashOf(digest: TreeDigest): string {
  return digest.slice(PREFIX.length)
}
