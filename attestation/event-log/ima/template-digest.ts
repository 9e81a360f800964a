import { bytesText, digestBuffer, digestInto, type HashAlgorithm } from '../../crypto/index.ts'
import { EventLogError } from '../errors.ts'
import { bad, type ImaCursor, imaCursor, isViolation, nextEntry } from './cursor.ts'

/**
 * Hashes that a list's template digests may be of, the usual first: SHA-1, or another in
 * `binary_runtime_measurements_sha256` and so on.
 */
const LIST_HASHES: readonly HashAlgorithm[] = ['sha1', 'sha256', 'sha384', 'sha512']

/** The old template is hashed as its 20 byte digest and its name in a field of 256 bytes. */
const OLD_HASHED_BYTES = 20 + 256
const oldScratch = digestBuffer(OLD_HASHED_BYTES)
const checkScratch = digestBuffer(64)

/** The bytes that the template digest of the entry is taken over: a view, good until the next call. */
export function hashedBytes(c: ImaCursor): Uint8Array {
  if (!c.old) return c.bytes.subarray(c.dataAt, c.end)
  oldScratch.fill(0)
  oldScratch.set(c.bytes.subarray(c.dataAt, c.dataAt + 20))
  oldScratch.set(c.bytes.subarray(c.dataAt + 24, c.end), 20)
  return oldScratch
}

/**
 * Whether the template digest in the list is the one of the entry's data. A violation's is zero and says nothing of
 * them.
 */
export function isTemplateDigest(c: ImaCursor, hashed: Uint8Array): boolean {
  digestInto(c.templateHash, hashed, checkScratch, 0)
  for (let i = 0; i < c.digestSize; i++) if (checkScratch[i] !== c.bytes[c.digestAt + i]) return false
  return true
}

export function templateMismatch(c: ImaCursor): EventLogError {
  return bad(c, 'EVENT_LOG_DIGEST_MISMATCH', `the template digest is not the ${c.templateHash} of the template data`)
}

/**
 * The hash of a list's template digests. The list does not say it, so each is tried on the first entry: its digest must
 * be that of the data, or zero for a violation. Where none is, the first that gives an entry at all, so that its reader
 * can say what is wrong.
 *
 * @param bytes the start of a list, with the first entry whole
 * @throws EventLogError of the usual reading (SHA-1) where no hash gives an entry
 */
export function detectTemplateHash(bytes: Uint8Array): HashAlgorithm {
  let readable: HashAlgorithm | undefined
  let problem: EventLogError | undefined
  for (const hash of LIST_HASHES) {
    const c = imaCursor(bytes, hash)
    try {
      if (!nextEntry(c)) return 'sha1'
      if (!isName(bytes.subarray(c.nameAt, c.nameEnd))) {
        throw bad(c, 'EVENT_LOG_BAD_CONTENT', 'the template name is not text')
      }
    } catch (err) {
      if (!(err instanceof EventLogError)) throw err
      problem ??= err
      continue
    }
    if (isViolation(c) || isTemplateDigest(c, hashedBytes(c))) return hash
    readable ??= hash
  }
  if (readable === undefined) throw problem ?? new RangeError('no hash was tried')
  return readable
}

function isName(bytes: Uint8Array): boolean {
  return /^[\x21-\x7e]+$/.test(bytesText(bytes))
}
