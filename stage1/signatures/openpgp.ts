import { printable, toHex } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import { SignatureError } from './errors.ts'

/** One OpenPGP certificate as its bytes say; only its fingerprint is computed, its signatures are for gpgv. */
export interface OpenPgpKey {
  /** 40 lower-case hex digits: a key of version 4 (RFC 4880 §12.2). */
  readonly fingerprint: string
  /** For people; as printable() has it. */
  readonly userIds: readonly string[]
  /** The key with all that follows it, not armored. */
  readonly bytes: Uint8Array
}

/** A key with many signatures of others on it has some 100 KiB. */
export const MAX_KEY_FILE_BYTES = 1 << 20
/** A signature, armored, with a few others beside it. */
export const MAX_SIGNATURE_BYTES = 64 << 10
const MAX_KEYS = 64
const MAX_USER_IDS = 32
const TAG = { publicKey: 6, userId: 13, secretKey: 5, secretSubkey: 7 } as const

/**
 * The octets of an armored block (RFC 4880 §6.2), or the bytes as they are where nothing is armored.
 *
 * @param kind as in `-----BEGIN PGP <kind>-----`
 * @throws SignatureError TRUST_KEY_BAD
 */
export function dearmor(bytes: Uint8Array, kind: 'PUBLIC KEY BLOCK' | 'SIGNATURE'): Uint8Array {
  if (((bytes[0] ?? 0) & 0x80) !== 0) return bytes // a packet's first octet has this bit, text has not
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1').replaceAll('\r', '')
  const [begin, end] = [`-----BEGIN PGP ${kind}-----\n`, `-----END PGP ${kind}-----`]
  const start = text.indexOf(begin)
  const stop = text.indexOf(end, start)
  if (start < 0 || stop < 0) throw bad(`no ${begin.trim()} ... ${end}`)
  if (text.indexOf(begin, stop) >= 0) throw bad('two armored blocks; give them apart')
  const body = text.slice(start + begin.length, stop)
  const blank = /^(?:[A-Za-z]+: [^\n]*\n)*\n/.exec(body)?.[0]
  if (blank === undefined) throw bad('no empty line after the armor headers')
  const lines = body
    .slice(blank.length)
    .split('\n')
    .filter((line) => line !== '')
  const checksum = /^=([A-Za-z0-9+/]{4})$/.exec(lines.at(-1) ?? '')?.[1]
  if (checksum !== undefined) lines.pop()
  const base64 = lines.join('')
  const octets = /^[A-Za-z0-9+/=]*$/.test(base64) ? Buffer.from(base64, 'base64') : Buffer.alloc(0)
  if (octets.length === 0) throw bad('nothing in its armor that is base64')
  if (checksum !== undefined && crc24(octets) !== Buffer.from(checksum, 'base64').readUIntBE(0, 3)) {
    throw bad('its armor checksum is wrong: it was changed or cut')
  }
  return new Uint8Array(octets)
}

/**
 * The public keys of a file, armored or not.
 * @throws SignatureError TRUST_KEY_BAD, also for secret keys and keys of other versions than 4
 */
export function parsePublicKeys(file: Uint8Array): readonly OpenPgpKey[] {
  if (file.length > MAX_KEY_FILE_BYTES) throw bad(`${file.length} bytes, at most ${MAX_KEY_FILE_BYTES} are read`)
  const bytes = dearmor(file, 'PUBLIC KEY BLOCK')
  const keys: { start: number; end: number; fingerprint: string; userIds: string[] }[] = []
  for (const { tag, start, body, end } of packets(bytes)) {
    if (tag === TAG.secretKey || tag === TAG.secretSubkey) throw bad('a secret key; export the public one')
    if (tag === TAG.publicKey) {
      if (keys.length === MAX_KEYS) throw bad(`more than ${MAX_KEYS} keys`)
      keys.push({ start, end, fingerprint: fingerprintOf(body), userIds: [] })
      continue
    }
    const key = keys[keys.length - 1]
    if (key === undefined) throw bad('does not begin with a public key')
    key.end = end
    if (tag === TAG.userId && key.userIds.length < MAX_USER_IDS) key.userIds.push(shown(body))
  }
  if (keys.length === 0) throw bad('no public key in it')
  return keys.map(({ start, end, ...key }) => ({ ...key, bytes: bytes.subarray(start, end) }))
}

/** RFC 4880 §12.2: SHA-1 over 0x99, the length in two octets, and the packet. */
function fingerprintOf(body: Uint8Array): string {
  if (body[0] !== 4) throw bad(`a key of version ${body[0]}; only version 4 is used`)
  if (body.length > 0xffff) throw bad(`a key packet of ${body.length} bytes`)
  const head = Uint8Array.of(0x99, body.length >> 8, body.length & 0xff)
  return toHex(digest('sha1', Buffer.concat([head, body])))
}

interface Packet {
  readonly tag: number
  readonly start: number
  readonly body: Uint8Array
  readonly end: number
}

/** Packets one after another (RFC 4880 §4.2), both formats; partial lengths are for messages, not keys. */
function* packets(bytes: Uint8Array): Generator<Packet> {
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] ?? 0
    if ((first & 0x80) === 0) throw bad(`no OpenPGP packet at offset ${at}`)
    const isNew = (first & 0x40) !== 0
    const { headerBytes, length } = isNew ? newLength(bytes, at + 1) : oldLength(bytes, at + 1, first & 3)
    const from = at + 1 + headerBytes
    const end = from + length
    if (end > bytes.length) throw bad(`the packet at offset ${at} says ${length} bytes, ${bytes.length - from} remain`)
    yield { tag: isNew ? first & 0x3f : (first >> 2) & 0x0f, start: at, body: bytes.subarray(from, end), end }
    at = end
  }
}

function newLength(bytes: Uint8Array, at: number): { headerBytes: number; length: number } {
  const first = octet(bytes, at)
  if (first < 192) return { headerBytes: 1, length: first }
  if (first < 224) return { headerBytes: 2, length: (first - 192) * 256 + octet(bytes, at + 1) + 192 }
  if (first < 255) throw bad('a packet of partial length')
  return { headerBytes: 5, length: bigEndian(bytes, at + 1, 4) }
}

function oldLength(bytes: Uint8Array, at: number, type: number): { headerBytes: number; length: number } {
  if (type === 3) throw bad('a packet of indeterminate length')
  const octets = 1 << type
  return { headerBytes: octets, length: bigEndian(bytes, at, octets) }
}

function bigEndian(bytes: Uint8Array, at: number, octets: number): number {
  let value = 0
  for (let i = 0; i < octets; i++) value = value * 256 + octet(bytes, at + i)
  return value
}

function octet(bytes: Uint8Array, at: number): number {
  const value = bytes[at]
  if (value === undefined) throw bad('ends inside of a packet header')
  return value
}

/** RFC 4880 §6.1: generator 0x864CFB, initial value 0xB704CE. */
function crc24(bytes: Uint8Array): number {
  let crc = 0xb704ce
  for (const b of bytes) {
    crc ^= b << 16
    for (let i = 0; i < 8; i++) {
      crc <<= 1
      if ((crc & 0x1000000) !== 0) crc ^= 0x1864cfb
    }
  }
  return crc & 0xffffff
}

function shown(bytes: Uint8Array): string {
  const text = new TextDecoder('utf-8').decode(bytes.subarray(0, 400))
  return printable(text, 200)
}

function bad(why: string): SignatureError {
  return new SignatureError('TRUST_KEY_BAD', `not an OpenPGP public key or signature as it is used here: ${why}`)
}
