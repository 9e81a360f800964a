import { equalBytes, printable, toHex } from '../base/index.ts'
import { fromBase64, toBase64 } from './base64.ts'
import { TransparencyLogError } from './errors.ts'
import { EMPTY_ROOT, HASH_BYTES, TREE_SIZE_LIMIT, type TreeHead } from './merkle-hash.ts'
import { verifyNote } from './note.ts'
import type { NoteKey, NoteSignatureClaim } from './note-key.ts'
import { parseSignedNote } from './signed-note.ts'

/** A tree head and whose it is. */
export interface Checkpoint extends TreeHead {
  /** Which log it is of. */
  readonly origin: string
  /** Lines below the root, which no monitor can audit; none in a tiled log. */
  readonly extensions: readonly string[]
}

/** verifyCheckpoint() is the only maker. */
export interface VerifiedCheckpoint extends Checkpoint {
  /** Witnesses that have cosigned, each once, with the time each claims. */
  readonly witnesses: readonly NoteSignatureClaim[]
}

/** Whom a relying party believes about one log. */
export interface LogTrust {
  readonly origin: string
  /** The log's keys; one of them has to have signed. */
  readonly logKeys: readonly NoteKey[]
  /** None unless given. */
  readonly witnessKeys?: readonly NoteKey[]
  /** How many of them have to have cosigned; 0 unless given. */
  readonly witnesses?: number
}

/**
 * Parses a note's text as a checkpoint. It is as believable as the note.
 * Source: C2SP tlog-checkpoint, Note text.
 *
 * @throws TransparencyLogError LOG_CHECKPOINT_INVALID
 */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', size = '', root = '', ...extensions] = text.split('\n')
  if (extensions.pop() !== '') throw badCheckpoint('expected three lines and more, each with a line end')
  if (origin === '') throw badCheckpoint('the first line, the origin, is empty')
  if (!/^(0|[1-9][0-9]{0,18})$/.test(size) || BigInt(size) >= TREE_SIZE_LIMIT) {
    throw badCheckpoint(`${printable(size, 40)} is no tree size: a decimal number below 2^63 without leading zeros`)
  }
  const hash = fromBase64(root)
  if (hash?.length !== HASH_BYTES) throw badCheckpoint('the third line, the root, is not base64 of 32 bytes')
  if (size === '0' && !equalBytes(hash, EMPTY_ROOT)) throw badCheckpoint('a tree without leaves has another root')
  if (extensions.includes('')) throw badCheckpoint('an extension line is empty')
  return { origin, size: BigInt(size), root: hash, extensions }
}

/**
 * The text to sign.
 *
 * @throws TransparencyLogError LOG_CHECKPOINT_INVALID for what would read back as another checkpoint
 */
export function formatCheckpoint({ origin, size, root, extensions }: Checkpoint): string {
  const text = [origin, size, toBase64(root), ...extensions, ''].join('\n')
  const back = parseCheckpoint(text)
  if (back.origin !== origin || back.extensions.length !== extensions.length) throw badCheckpoint('a line in a line')
  return text
}

/**
 * Verifies a checkpoint as the log signed it: the origin, a signature of the log, and cosignatures of enough witnesses.
 * That a log signed it does not mean that it showed everybody the same: that is what witnesses and verifyConsistency()
 * with an earlier checkpoint are for.
 *
 * @param bytes the signed note
 * @throws TransparencyLogError LOG_NOTE_INVALID, LOG_NOTE_UNSIGNED, LOG_NOTE_SIGNATURE_INVALID, LOG_KEY_INVALID,
 *   LOG_CHECKPOINT_INVALID, LOG_CHECKPOINT_ORIGIN, LOG_CHECKPOINT_UNWITNESSED
 */
export function verifyCheckpoint(bytes: Uint8Array, trust: LogTrust): VerifiedCheckpoint {
  const { origin, logKeys, witnessKeys = [], witnesses: needed = 0 } = trust
  assertWitnesses(witnessKeys)
  const note = parseSignedNote(bytes)
  const { signedBy } = verifyNote(note, [...logKeys, ...witnessKeys])
  if (!signedBy.some(({ key }) => logKeys.includes(key))) {
    throw new TransparencyLogError(
      'LOG_NOTE_UNSIGNED',
      'witnesses have signed the checkpoint, and the log itself has not',
    )
  }
  const checkpoint = parseCheckpoint(note.text)
  if (checkpoint.origin !== origin) {
    throw new TransparencyLogError(
      'LOG_CHECKPOINT_ORIGIN',
      `the checkpoint is of ${printable(checkpoint.origin, 80)}, expected ${printable(origin, 80)}`,
    )
  }
  const witnesses = signedBy.filter(({ key }) => witnessKeys.includes(key))
  if (witnesses.length < needed) {
    throw new TransparencyLogError(
      'LOG_CHECKPOINT_UNWITNESSED',
      `${witnesses.length} of ${witnessKeys.length} known witnesses have cosigned the checkpoint, ${needed} have to`,
    )
  }
  return { ...checkpoint, witnesses }
}

/** A cosignature does not say whose it is: one key under two names would be counted as two witnesses. */
function assertWitnesses(keys: readonly NoteKey[]): void {
  const materials = keys.map((witness) => {
    if (witness.kind === 'cosignature') return toHex(witness.key.bytes)
    const what = `the key ${printable(witness.name, 80)} makes no cosignatures: it is no witness's`
    throw new TransparencyLogError('LOG_KEY_INVALID', what)
  })
  if (new Set(materials).size !== keys.length) {
    throw new TransparencyLogError('LOG_KEY_INVALID', 'one public key is given as two witnesses')
  }
}

function badCheckpoint(what: string): TransparencyLogError {
  return new TransparencyLogError('LOG_CHECKPOINT_INVALID', `checkpoint: ${what}`)
}
