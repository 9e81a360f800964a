export {
  type Checkpoint,
  formatCheckpoint,
  type LogTrust,
  parseCheckpoint,
  type VerifiedCheckpoint,
  verifyCheckpoint,
} from './checkpoint.ts'
export { CompactRange } from './compact-range.ts'
export { verifyConsistency } from './consistency-proof.ts'
export { decodeEntryBundle, encodeEntryBundle, MAX_ENTRY_BYTES, verifyEntries } from './entry-bundle.ts'
export { TransparencyLogError, type TransparencyLogErrorCode } from './errors.ts'
export { verifyInclusion } from './inclusion-proof.ts'
export { EMPTY_ROOT, leafHash, type TreeHead } from './merkle-hash.ts'
export { signNote, type VerifiedNote, verifyNote } from './note.ts'
export {
  ecdsaNoteKey,
  ed25519NoteKey,
  formatVerifierKey,
  type NoteKey,
  type NoteSignatureClaim,
  parseVerifierKey,
} from './note-key.ts'
export {
  formatSignedNote,
  MAX_NOTE_BYTES,
  MAX_NOTE_SIGNATURES,
  type NoteSignature,
  parseSignedNote,
  type SignedNote,
} from './signed-note.ts'
export { consistencySubtrees, inclusionSubtrees, type Subtree } from './subtree.ts'
export {
  CHECKPOINT_PATH,
  decodeHashTile,
  entryBundlePath,
  hashTilePath,
  parseTilePath,
  type Tile,
  type TileRequest,
  tileOfTree,
} from './tile.ts'
export { growTiles, type WrittenTile } from './tile-growth.ts'
export { compactRangeFromTiles, rootsFromTiles, type TileReader, tilesOf } from './tiled-tree.ts'
