import { bytesText } from '../../crypto/index.ts'
import type { ImaCursor } from '../../event-log/index.ts'
import { type DigestsByName, isAccepted } from './policy.ts'

const COLON = 0x3a

/**
 * Whether the entry is of a file whose path and digest are listed. What nearly every entry is, found without an object;
 * of any other it says no, and the entry is read in full. Templates `ima-ng` and `ima-sig`.
 *
 * @param files digests by path, both binary strings
 */
export function isListedFile(c: ImaCursor, files: DigestsByName): boolean {
  const { view, bytes } = c
  const isSigned = isTemplate(c, 'ima-sig')
  if (!isSigned && !isTemplate(c, 'ima-ng')) return false
  // `size digest, size path`, then of ima-sig `size signature`: every size is compared with what remains
  const digestAt = c.dataAt + 4
  if (digestAt > c.end) return false
  const digestEnd = digestAt + view.getUint32(c.dataAt, true)
  const pathAt = digestEnd + 4
  if (pathAt > c.end) return false
  const pathEnd = pathAt + view.getUint32(digestEnd, true)
  if (isSigned ? pathEnd + 4 > c.end || pathEnd + 4 + view.getUint32(pathEnd, true) !== c.end : pathEnd !== c.end) {
    return false
  }
  const accepted = files.get(bytesText(bytes, pathAt, bytes[pathEnd - 1] === 0 ? pathEnd - 1 : pathEnd))
  if (accepted === undefined) return false
  let at = digestAt
  while (at < digestEnd && bytes[at] !== 0) at++
  return at > digestAt && bytes[at - 1] === COLON && isAccepted(accepted, bytesText(bytes, at + 1, digestEnd))
}

function isTemplate(c: ImaCursor, name: string): boolean {
  return c.nameEnd - c.nameAt === name.length && bytesText(c.bytes, c.nameAt, c.nameEnd) === name
}
