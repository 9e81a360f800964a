import { bytesText, type HashAlgorithm } from '../../crypto/index.ts'
import { bad, type ImaCursor, imaCursor, isViolation, nextEntry } from './cursor.ts'
import { detectTemplateHash } from './template-digest.ts'
import { type ImaField, imaTemplateFields } from './templates.ts'

/** One entry, as claimed. Bytes are views of the list. */
export interface ImaEntry {
  /** Position in the list, from 0, and offset of the first byte. */
  readonly index: number
  readonly offset: number
  readonly pcr: number
  /** Name of the template, or the field list of a custom one. */
  readonly template: string
  readonly templateHash: HashAlgorithm
  readonly templateDigest: Uint8Array
  /**
   * All-zero template digest: the file was open for writing while it was measured, or was opened for writing
   * afterwards.
   */
  readonly violation: boolean
  readonly fields: readonly ImaFieldValue[]
}

/** A field of the template data. */
export interface ImaFieldValue {
  readonly field: ImaField
  readonly bytes: Uint8Array
}

/**
 * Entries of a binary list, one after another.
 *
 * @param templateHash of the list's template digests; found out from the first entry when it is not given
 * @throws EventLogError for the first entry that is none, or whose template or fields are not known here
 */
export function* imaEntries(
  bytes: Uint8Array,
  templateHash: HashAlgorithm = bytes.length === 0 ? 'sha1' : detectTemplateHash(bytes),
): Generator<ImaEntry> {
  const c = imaCursor(bytes, templateHash)
  while (nextEntry(c)) yield entryAt(c)
}

/** The entry that the cursor is on. @throws EventLogError EVENT_LOG_BAD_CONTENT */
export function entryAt(c: ImaCursor): ImaEntry {
  const { template, fields } = imaFields(c)
  return {
    index: c.index,
    offset: c.base + c.at,
    pcr: c.pcr,
    template,
    templateHash: c.templateHash,
    templateDigest: c.bytes.subarray(c.digestAt, c.digestAt + c.digestSize),
    violation: isViolation(c),
    fields,
  }
}

/** Template and fields of the entry that the cursor is on. @throws EventLogError EVENT_LOG_BAD_CONTENT */
export function imaFields(c: ImaCursor): { template: string; fields: ImaFieldValue[] } {
  const template = bytesText(c.bytes, c.nameAt, c.nameEnd)
  const names = imaTemplateFields(template)
  if (names === undefined) {
    throw bad(
      c,
      'EVENT_LOG_BAD_CONTENT',
      `template ${JSON.stringify(template)} is not known, nor a list of known fields`,
    )
  }
  if (c.old) {
    const fields: ImaFieldValue[] = [
      { field: 'd', bytes: c.bytes.subarray(c.dataAt, c.dataAt + 20) },
      { field: 'n', bytes: c.bytes.subarray(c.dataAt + 24, c.end) },
    ]
    return { template, fields }
  }
  const fields: ImaFieldValue[] = []
  let at = c.dataAt
  for (const field of names) {
    if (at + 4 > c.end) throw bad(c, 'EVENT_LOG_BAD_CONTENT', `the data end before field ${field}`)
    const size = c.view.getUint32(at, true)
    if (size > c.end - at - 4)
      throw bad(c, 'EVENT_LOG_BAD_CONTENT', `field ${field} says ${size} bytes, ${c.end - at - 4} remain`)
    fields.push({ field, bytes: c.bytes.subarray(at + 4, at + 4 + size) })
    at += 4 + size
  }
  if (at !== c.end) throw bad(c, 'EVENT_LOG_BAD_CONTENT', `${c.end - at} bytes behind the last field`)
  return { template, fields }
}
