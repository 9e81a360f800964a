import type { HashAlgorithm } from '../../crypto/index.ts'
import { EventLogError } from '../errors.ts'
import { imaCursor, nextEntry } from './cursor.ts'
import { detectTemplateHash } from './template-digest.ts'

/**
 * The entries that are whole in a piece of a list that was cut anywhere. Only the cut is looked for: where anything
 * else is wrong the piece is given as it is, for its reader to say what.
 *
 * @param templateHash of the list, where entries before it have told
 */
export function wholeImaEntries(bytes: Uint8Array, templateHash?: HashAlgorithm): Uint8Array {
  if (bytes.length === 0) return bytes
  let end = 0
  try {
    const cursor = imaCursor(bytes, templateHash ?? detectTemplateHash(bytes))
    while (nextEntry(cursor)) end = cursor.end
    return bytes
  } catch (err) {
    if (!(err instanceof EventLogError)) throw err
    return err.code === 'EVENT_LOG_TRUNCATED' ? bytes.subarray(0, end) : bytes
  }
}
