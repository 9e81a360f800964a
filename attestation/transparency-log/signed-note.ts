import { concatBytes, fromUtf8, printable, utf8 } from '../base/index.ts'
import { fromBase64, toBase64 } from './base64.ts'
import { TransparencyLogError } from './errors.ts'

/** Longest note read: room for 16 and more signatures of the largest post-quantum schemes, 5 kB each. */
export const MAX_NOTE_BYTES = 1 << 18
/** Most signature lines read; C2SP signed-note asks for at least 16. */
export const MAX_NOTE_SIGNATURES = 64

/** A signature line: who is said to have signed. */
export interface NoteSignature {
  readonly name: string
  /** First four bytes of the signature as it stands there, an unsigned 32-bit integer. */
  readonly keyId: number
  /** The rest of it, 1 byte at least; what it means is up to the kind of key. */
  readonly bytes: Uint8Array
}

/** A text and signature lines below it, as sent: nothing is verified. */
export interface SignedNote {
  /** With its final line end, without the blank line. */
  readonly text: string
  /** One at least. */
  readonly signatures: readonly NoteSignature[]
}

const SIGNATURE_START = '— ' // U+2014 and a space
const KEY_ID_BYTES = 4

/**
 * Parses a signed note. Its text is to be ignored until verifyNote() has found a signature of a known key.
 * Source: C2SP signed-note, Format.
 *
 * @throws TransparencyLogError LOG_NOTE_INVALID
 */
export function parseSignedNote(bytes: Uint8Array): SignedNote {
  if (bytes.length > MAX_NOTE_BYTES) throw badNote(`${bytes.length} bytes, at most ${MAX_NOTE_BYTES} are read`)
  const note = noteText(bytes)
  const end = note.lastIndexOf('\n\n')
  if (end === -1 || !note.endsWith('\n'))
    throw badNote('no blank line before lines of signatures, each with a line end')
  const lines = note.slice(end + 2, -1).split('\n')
  if (lines.length > MAX_NOTE_SIGNATURES) {
    throw badNote(`${lines.length} signatures, at most ${MAX_NOTE_SIGNATURES} are read`)
  }
  return { text: note.slice(0, end + 1), signatures: lines.map(parseSignature) }
}

/**
 * The note as bytes.
 *
 * @throws TransparencyLogError LOG_NOTE_INVALID for a text or a name that no note can have
 */
export function formatSignedNote(note: SignedNote): Uint8Array {
  const lines = note.signatures.map(({ name, keyId, bytes }) => {
    const id = Uint8Array.of(keyId >>> 24, keyId >>> 16, keyId >>> 8, keyId)
    return `${SIGNATURE_START}${name} ${toBase64(concatBytes(id, bytes))}\n`
  })
  const written = utf8(`${note.text}\n${lines.join('')}`)
  // read back: what others would take apart in another way is never sent
  if (parseSignedNote(written).text !== note.text) throw badNote('the text has to end in a line end')
  return written
}

/** @returns whether C2SP signed-note allows it as a key's name: not empty, no Unicode space, no plus sign */
export function isKeyName(name: string): boolean {
  return /^[^\p{White_Space}+]+$/u.test(name)
}

function noteText(bytes: Uint8Array): string {
  let text: string
  try {
    text = fromUtf8(bytes)
  } catch (cause) {
    throw new TransparencyLogError('LOG_NOTE_INVALID', 'signed note: not UTF-8', { cause })
  }
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x20 && unit !== 0x0a) throw badNote(`control character ${unit} at offset ${i}`)
  }
  return text
}

function parseSignature(line: string, i: number): NoteSignature {
  const [name = '', signature = '', ...rest] = line.slice(SIGNATURE_START.length).split(' ')
  if (!line.startsWith(SIGNATURE_START) || rest.length > 0 || !isKeyName(name)) {
    throw badNote(`line ${i} below the blank line is no signature: ${printable(line, 80)}`)
  }
  const bytes = fromBase64(signature)
  if (bytes === undefined || bytes.length <= KEY_ID_BYTES) {
    throw badNote(`signature ${i}, of ${printable(name, 80)}, is not base64 of a key id and a signature`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return { name, keyId: view.getUint32(0), bytes: bytes.subarray(KEY_ID_BYTES) }
}

function badNote(what: string): TransparencyLogError {
  return new TransparencyLogError('LOG_NOTE_INVALID', `signed note: ${what}`)
}
