import { concatBytes, printable, toHex, utf8 } from '../base/index.ts'
import {
  digest,
  type Ed25519PublicKey,
  exportSpki,
  importEd25519PublicKey,
  importSpki,
  KeyError,
  type PublicKey,
  verifyEd25519,
  verifySignature,
} from '../crypto/index.ts'
import { fromBase64, toBase64 } from './base64.ts'
import { cosignedMessage, splitCosignature } from './cosignature.ts'
import { TransparencyLogError } from './errors.ts'
import { isKeyName } from './signed-note.ts'

/**
 * A key that is known here, and how it signs notes:
 * `ed25519`: the text (C2SP signed-note, type 0x01);
 * `cosignature`: time and text, as a witness (C2SP tlog-cosignature, Ed25519, type 0x04);
 * `ecdsa`: the text's SHA-256, in DER, as Rekor's logs do (C2SP signed-note, type 0x02).
 */
export type NoteKey = NoteKeyName & NoteKeyMaterial

export interface NoteKeyName {
  readonly name: string
  /** First four bytes of a hash, an unsigned 32-bit integer: it finds a key and proves nothing. */
  readonly keyId: number
}

type NoteKeyMaterial =
  | { readonly kind: 'ed25519' | 'cosignature'; readonly key: Ed25519PublicKey }
  | { readonly kind: 'ecdsa'; readonly key: PublicKey }

const TYPES = { ed25519: 0x01, ecdsa: 0x02, cosignature: 0x04 } as const
/** Longest verifier key read; P-521 in an SPKI has 158 bytes. */
const MAX_VERIFIER_KEY_CHARACTERS = 1024

/** @throws TransparencyLogError LOG_KEY_INVALID for a name that no key can have */
export function ed25519NoteKey(
  name: string,
  key: Ed25519PublicKey,
  kind: 'ed25519' | 'cosignature' = 'ed25519',
): NoteKey {
  return { name: keyName(name), keyId: hashId(utf8(`${name}\n`), Uint8Array.of(TYPES[kind]), key.bytes), kind, key }
}

/**
 * A key of Rekor's kind: its id is of its SubjectPublicKeyInfo alone.
 *
 * @throws TransparencyLogError LOG_KEY_INVALID for a name that no key can have, or a key that is not EC
 */
export function ecdsaNoteKey(name: string, key: PublicKey): NoteKey {
  if (key.kind !== 'ec') throw badKey(name, `an ${key.kind} key signs no notes`)
  return { name: keyName(name), keyId: hashId(exportSpki(key)), kind: 'ecdsa', key }
}

/**
 * Parses a verifier key, `name+id+base64(type || public key)`, as logs and witnesses publish them.
 * Source: C2SP signed-note, Verifier keys; type 0x02 carries an SPKI.
 *
 * @throws TransparencyLogError LOG_KEY_INVALID
 */
export function parseVerifierKey(text: string): NoteKey {
  const [, name = '', id = '', material = ''] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text) ?? []
  const bytes = fromBase64(material)
  if (text.length > MAX_VERIFIER_KEY_CHARACTERS || bytes === undefined || bytes.length === 0) {
    throw badKey(text, 'expected name+id+key: 8 hexadecimal digits as the id, base64 as the key')
  }
  const key = keyOfType(name, bytes[0] as number, bytes.subarray(1)) // not empty
  if (key.keyId !== Number.parseInt(id, 16)) {
    throw badKey(name, `its id is ${hexId(key.keyId)}, not ${id}: name, id and key do not belong together`)
  }
  return key
}

/** The key as parseVerifierKey() reads it. */
export function formatVerifierKey(key: NoteKey): string {
  const material = key.kind === 'ecdsa' ? exportSpki(key.key) : key.key.bytes
  return `${key.name}+${hexId(key.keyId)}+${toBase64(concatBytes(Uint8Array.of(TYPES[key.kind]), material))}`
}

/** What a signature says if it is the key's. */
export interface NoteSignatureClaim {
  readonly key: NoteKey
  /** When a witness cosigned, in seconds since 1970 by its own clock. */
  readonly timeSeconds?: bigint
}

/** @returns undefined unless the bytes are the key's signature over the text */
export function verifyNoteSignature(key: NoteKey, text: string, bytes: Uint8Array): NoteSignatureClaim | undefined {
  switch (key.kind) {
    case 'ed25519':
      return verifyEd25519(key.key, utf8(text), bytes) ? { key } : undefined
    case 'ecdsa':
      return verifySignature(key.key, { alg: 'ecdsa', hash: 'sha256', bytes }, utf8(text)) ? { key } : undefined
    case 'cosignature': {
      const cosignature = splitCosignature(bytes)
      if (cosignature === undefined) return undefined
      const { timeSeconds, signature } = cosignature
      return verifyEd25519(key.key, cosignedMessage(timeSeconds, text), signature) ? { key, timeSeconds } : undefined
    }
  }
}

function keyOfType(name: string, type: number, material: Uint8Array): NoteKey {
  try {
    switch (type) {
      case TYPES.ed25519:
        return ed25519NoteKey(name, importEd25519PublicKey(material))
      case TYPES.cosignature:
        return ed25519NoteKey(name, importEd25519PublicKey(material), 'cosignature')
      case TYPES.ecdsa:
        return ecdsaNoteKey(name, importSpki(material))
    }
  } catch (cause) {
    if (!(cause instanceof KeyError)) throw cause
    throw badKey(name, cause.message, cause)
  }
  throw badKey(name, `keys of type ${type} are not known here: 1 (Ed25519), 2 (ECDSA) and 4 (cosignature) are`)
}

function keyName(name: string): string {
  if (!isKeyName(name)) throw badKey(name, 'a name is not empty and has no space and no plus sign')
  return name
}

function hashId(...parts: readonly Uint8Array[]): number {
  return new DataView(digest('sha256', ...parts).buffer).getUint32(0)
}

function hexId(keyId: number): string {
  return toHex(Uint8Array.of(keyId >>> 24, keyId >>> 16, keyId >>> 8, keyId))
}

function badKey(name: string, what: string, cause?: unknown): TransparencyLogError {
  return new TransparencyLogError('LOG_KEY_INVALID', `note key ${printable(name, 80)}: ${what}`, { cause })
}
