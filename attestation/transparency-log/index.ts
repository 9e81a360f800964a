export {
  type Checkpoint,
  formatCheckpoint,
  type LogTrust,
  parseCheckpoint,
  type VerifiedCheckpoint,
  verifyCheckpoint,
} from './checkpoint.ts'
export { verifyConsistency } from './consistency-proof.ts'
export { TransparencyLogError, type TransparencyLogErrorCode } from './errors.ts'
export { verifyInclusion } from './inclusion-proof.ts'
export { EMPTY_ROOT, leafHash, nodeHash, type TreeHead } from './merkle-hash.ts'
export { signNote, type VerifiedNote, verifyNote } from './note.ts'
export {
  ecdsaNoteKey,
  ed25519NoteKey,
  formatVerifierKey,
  type NoteKey,
  type NoteSignatureClaim,
  parseVerifierKey,
} from './note-key.ts'
export { formatSignedNote, type NoteSignature, parseSignedNote, type SignedNote } from './signed-note.ts'
