import { messageOf } from '../../base/index.ts'
import { type FileKey, importFileKey, KeyError } from '../../crypto/index.ts'
import { decodeCertificate, EndorsementError } from '../../endorsement/index.ts'

/** A key that may sign files, with the ids that signatures may name it by. */
export interface NamedFileKey {
  readonly key: FileKey
  /** Last four bytes of the certificate's subject key identifier, and of the key's own. */
  readonly keyIds: readonly number[]
}

/** Keys of a file, and what in it was none. */
export interface FileKeyBundle {
  readonly keys: readonly NamedFileKey[]
  readonly problems: readonly string[]
}

const MAX_BYTES = 1 << 20
const MAX_KEYS = 256

/**
 * Keys in any form that operators keep them in: certificates or public keys, PEM (several, one after another) or DER,
 * or Keylime's keyring JSON (`pubkeys`, `keyids`).
 *
 * @throws RangeError for a file beyond 1 MiB or 256 keys
 */
export function readFileKeys(bytes: Uint8Array): FileKeyBundle {
  if (bytes.length > MAX_BYTES) throw new RangeError(`${bytes.length} bytes of keys, at most ${MAX_BYTES} are read`)
  const text = String.fromCharCode(...bytes.subarray(0, 64)).trimStart()
  const parts = bytes[0] === 0x30 ? [bytes] : text.startsWith('{') ? keylimeKeys(bytes) : pemParts(bytes)
  if (parts.length > MAX_KEYS) throw new RangeError(`${parts.length} keys, at most ${MAX_KEYS} are used`)
  const keys: NamedFileKey[] = []
  const problems: string[] = []
  for (const [i, der] of parts.entries()) {
    try {
      keys.push(fileKey(der))
    } catch (err) {
      if (!(err instanceof KeyError) && !(err instanceof EndorsementError)) throw err
      problems.push(`key ${i + 1}: ${messageOf(err)}`)
    }
  }
  if (parts.length === 0) problems.push('no certificate and no public key in it')
  return { keys, problems }
}

/**
 * A key from a certificate or a SubjectPublicKeyInfo, DER. The certificate's own signature is not looked at: whoever
 * lists the key vouches for it.
 * @throws KeyError, EndorsementError
 */
export function fileKey(der: Uint8Array): NamedFileKey {
  const certificate = certificateOf(der)
  const key = importFileKey(certificate?.publicKeyInfo ?? der)
  const ids = [certificate?.extensions.subjectKeyId, key.identifier].map((id) => id && lastFour(id))
  return { key, keyIds: [...new Set(ids.filter((id) => id !== undefined))] }
}

function certificateOf(der: Uint8Array): ReturnType<typeof decodeCertificate> | undefined {
  try {
    return decodeCertificate(der)
  } catch (err) {
    if (err instanceof EndorsementError) return undefined // then it must be a public key
    throw err
  }
}

function lastFour(identifier: Uint8Array): number | undefined {
  if (identifier.length < 4) return undefined
  return new DataView(identifier.buffer, identifier.byteOffset + identifier.length - 4, 4).getUint32(0)
}

function pemParts(bytes: Uint8Array): Uint8Array[] {
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')
  const blocks = text.matchAll(/-----BEGIN (?:CERTIFICATE|PUBLIC KEY)-----([A-Za-z0-9+/=\s]{0,65536})-----END /g)
  return Array.from(blocks, ([, body]) => fromBase64(body ?? ''))
}

function keylimeKeys(bytes: Uint8Array): Uint8Array[] {
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return []
  }
  const listed = typeof parsed === 'object' && parsed !== null && 'pubkeys' in parsed ? parsed.pubkeys : []
  return Array.isArray(listed) ? listed.filter((key) => typeof key === 'string').map(fromBase64) : []
}

/** Bytes of a base64 text; none for what is no base64, which is no key either. */
function fromBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
  } catch {
    return new Uint8Array(0)
  }
}
