import { asBytes, asText, type Value } from '../encoding/index.ts'
import { badClaim } from './errors.ts'

/** Encodings of a claims set; RFC 9711 calls them JC<json, cbor>. */
export type ClaimsEncoding = 'json' | 'cbor'

/** A nonce: text of JSON, bytes of CBOR. */
export type Nonce = string | Uint8Array

/** Tokens carry raw evidence, which can hold whole logs. */
export const CLAIMS_LIMITS = { maxBytes: 4 << 20, maxDepth: 24, maxItems: 1 << 18 }
const MAX_NONCES = 16
const MAX_BINARY = 3 << 20

/** RFC 9711 binary-data: base64url without padding in JSON, where one text is one value. */
export function binary(value: Value | undefined, what: string, encoding: ClaimsEncoding, min: number, max: number) {
  if (encoding === 'cbor') return asBytes(value, what, min, max, badClaim)
  const text = asText(value, what, Math.ceil((MAX_BINARY * 4) / 3), badClaim)
  const bytes = fromBase64url(text)
  if (bytes === undefined) throw badClaim(`${what}: not base64url`)
  if (bytes.length < min || bytes.length > max)
    throw badClaim(`${what}: ${bytes.length} bytes, expected ${min} to ${max}`)
  return bytes
}

export function rawEvidence(value: Value, encoding: ClaimsEncoding): Uint8Array {
  return binary(value, 'raw evidence', encoding, 0, MAX_BINARY)
}

/**
 * One nonce of 8 to 88 characters (JSON) or 8 to 64 bytes (CBOR), or an array of two or more. Source: RFC 9711 §4.1.
 */
export function nonces(value: Value | undefined, encoding: ClaimsEncoding): readonly Nonce[] {
  if (value === undefined) return []
  const list = Array.isArray(value) ? value : [value]
  if (Array.isArray(value) && (value.length < 2 || value.length > MAX_NONCES)) {
    throw badClaim(`eat_nonce: an array of ${value.length}, expected 2 to ${MAX_NONCES}`)
  }
  return list.map((nonce: Value): Nonce => {
    if (encoding === 'cbor') return asBytes(nonce, 'eat_nonce', 8, 64, badClaim)
    const text = asText(nonce, 'eat_nonce', 88, badClaim)
    if (text.length < 8) throw badClaim(`eat_nonce: ${text.length} characters, expected 8 to 88`)
    return text
  })
}

/** @returns undefined for what is not the one base64url text of some bytes */
export function fromBase64url(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return undefined
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  const bytes = Uint8Array.from(binary, (c) => c.charCodeAt(0))
  return toBase64url(bytes) === text ? bytes : undefined
}

export function toBase64url(bytes: Uint8Array): string {
  let binary = ''
  for (const b of bytes) binary += String.fromCharCode(b)
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}
