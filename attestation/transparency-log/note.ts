import { printable, utf8 } from '../base/index.ts'
import { ed25519PublicKeyOf, type PrivateKey, signEd25519 } from '../crypto/index.ts'
import { TransparencyLogError } from './errors.ts'
import {
  ed25519NoteKey,
  type NoteKey,
  type NoteKeyName,
  type NoteSignatureClaim,
  verifyNoteSignature,
} from './note-key.ts'
import { formatSignedNote, type NoteSignature, type SignedNote } from './signed-note.ts'

/** A note with a signature of a known key; verifyNote() is the only maker. */
export interface VerifiedNote {
  readonly text: string
  /** One at least, each key once. */
  readonly signedBy: readonly NoteSignatureClaim[]
}

/**
 * Verifies every signature of a known key; those of others are ignored, as any number may sign.
 * Source: C2SP signed-note, Signatures.
 *
 * @param keys no two of one name and id
 * @throws TransparencyLogError LOG_NOTE_UNSIGNED, LOG_NOTE_SIGNATURE_INVALID for one that fails, LOG_KEY_INVALID
 */
export function verifyNote(note: SignedNote, keys: readonly NoteKey[]): VerifiedNote {
  const known = new Map(keys.map((key) => [idOf(key), key]))
  if (known.size !== keys.length) {
    throw new TransparencyLogError(
      'LOG_KEY_INVALID',
      'two note keys of one name and id: a signature would be of either',
    )
  }
  const signedBy = new Map<NoteKey, NoteSignatureClaim>()
  for (const signature of note.signatures) {
    const key = known.get(idOf(signature))
    if (key === undefined) continue
    const claim = verifyNoteSignature(key, note.text, signature.bytes)
    if (claim === undefined) {
      throw new TransparencyLogError(
        'LOG_NOTE_SIGNATURE_INVALID',
        `the signature of ${printable(key.name, 80)} is not over this note: it was changed, or another key has that id`,
      )
    }
    signedBy.set(key, claim)
  }
  if (signedBy.size === 0) {
    const names = (of: readonly NoteKeyName[]) => of.map(({ name }) => printable(name, 80)).join(', ') || 'nobody'
    throw new TransparencyLogError(
      'LOG_NOTE_UNSIGNED',
      `signed by ${names(note.signatures.slice(0, 8))}, and no signature is of a known key (${names(keys)})`,
    )
  }
  return { text: note.text, signedBy: [...signedBy.values()] }
}

/**
 * Signs a text with Ed25519.
 *
 * @param text with a line end as its last character
 * @param name of the key, the log's origin for a checkpoint
 * @returns a note with this signature alone, as bytes
 * @throws TransparencyLogError LOG_NOTE_INVALID for a text that no note can have, LOG_KEY_INVALID for such a name
 */
export function signNote(text: string, name: string, privateKey: PrivateKey): Uint8Array {
  const { keyId } = ed25519NoteKey(name, ed25519PublicKeyOf(privateKey))
  const signature: NoteSignature = { name, keyId, bytes: signEd25519(privateKey, utf8(text)) }
  return formatSignedNote({ text, signatures: [signature] })
}

/** A name holds no plus sign, so no two pairs give one text. */
function idOf({ name, keyId }: NoteKeyName): string {
  return `${name}+${keyId}`
}
