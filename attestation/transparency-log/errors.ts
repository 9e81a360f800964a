import { CodedError } from '../base/index.ts'

/**
 * LOG_NOTE_INVALID: not a signed note, or longer, or of more signatures, than is read.
 * LOG_NOTE_UNSIGNED: no signature is of a key that is known here.
 * LOG_NOTE_SIGNATURE_INVALID: a line claims a known key, and its signature is not that key's.
 * LOG_KEY_INVALID: not a verifier key, or one whose id is not that of its name and bytes, or two under one name and id.
 * LOG_CHECKPOINT_INVALID: the note's text is no checkpoint.
 * LOG_CHECKPOINT_ORIGIN: the checkpoint is another log's.
 * LOG_CHECKPOINT_UNWITNESSED: fewer witnesses than asked for have cosigned it.
 * LOG_PROOF_MALFORMED: no proof of that shape exists: an index outside the tree, a wrong number or size of hashes.
 * LOG_PROOF_MISMATCH: the proof does not lead to the root; what it should prove is not so.
 * LOG_TILE_INVALID: not a path of a tile, a tile that the tree does not have, or bytes of another size.
 * LOG_ENTRIES_INVALID: an entry bundle that is cut, too long, or not what its hash tile commits to.
 */
export type TransparencyLogErrorCode =
  | 'LOG_NOTE_INVALID'
  | 'LOG_NOTE_UNSIGNED'
  | 'LOG_NOTE_SIGNATURE_INVALID'
  | 'LOG_KEY_INVALID'
  | 'LOG_CHECKPOINT_INVALID'
  | 'LOG_CHECKPOINT_ORIGIN'
  | 'LOG_CHECKPOINT_UNWITNESSED'
  | 'LOG_PROOF_MALFORMED'
  | 'LOG_PROOF_MISMATCH'
  | 'LOG_TILE_INVALID'
  | 'LOG_ENTRIES_INVALID'

/** Something of a transparency log that must not be believed. */
export class TransparencyLogError extends CodedError<TransparencyLogErrorCode> {}
