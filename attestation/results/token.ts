import { fromUtf8 } from '../base/index.ts'
import { decodeCborItem, EncodingError, isMap, parseJson, type Value } from '../encoding/index.ts'
import { CLAIMS_LIMITS, fromBase64url } from './claims.ts'
import { type Ear, earDialect } from './ear.ts'
import { readEarCbor, readEarJson } from './ear-read.ts'
import type { EatClaims } from './eat.ts'
import { readEatCbor, readEatJson } from './eat-read.ts'
import { badClaim, decoded, ResultError } from './errors.ts'

/** An attestation result or an entity attestation token, by the form it came in. Nothing of it is verified. */
export type ResultToken = (
  | { readonly kind: 'ear'; readonly ear: Ear }
  | { readonly kind: 'eat'; readonly eat: EatClaims }
) &
  (
    | { readonly form: 'jwt'; readonly token: string; readonly algorithm: string }
    /** Claims alone, which nobody signed. */
    | { readonly form: 'json' | 'cbor' }
  )

/** RFC 7515 compact form of a JWS whose header is a JSON object; the whole file, but for blanks around it. */
const COMPACT = /^\s*(eyJ[A-Za-z0-9_-]*)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*\s*$/
const MAX_TOKEN = 6 << 20
const MAP_MAJOR = 5
const PROFILE_KEYS = ['eat_profile', 265] as const
/** Claims of which a set has at least one, as JSON names and CBOR keys: profile, nonce, UEID, issued at, issuer. */
const TELLING: readonly (string | number)[] = ['eat_profile', 'eat_nonce', 'ueid', 'iat', 'iss', 265, 10, 256, 6, 1]
/** A record of a canonical event log is a map too, and has its digests under these. */
const OF_AN_EVENT_LOG: readonly (string | number)[] = ['digests', 0]

/** Whether bytes are a JWT, or a claims set in JSON or CBOR; of claims sets only those that say whose or when they are. */
export function looksLikeResultToken(bytes: Uint8Array): boolean {
  if (bytes.length > MAX_TOKEN) return false
  const claims = claimsOf(bytes)
  if (claims === 'jwt') return true
  return isMap(claims) && TELLING.some((key) => claims.has(key)) && !OF_AN_EVENT_LOG.some((key) => claims.has(key))
}

function claimsOf(bytes: Uint8Array): Value | 'jwt' | undefined {
  try {
    if ((bytes[0] ?? 0) >> 5 === MAP_MAJOR) return decodeCborItem(bytes, CLAIMS_LIMITS)
    const text = fromUtf8(bytes)
    if (COMPACT.test(text)) return 'jwt'
    return /^\s*\{/.test(text) ? parseJson(bytes, CLAIMS_LIMITS) : undefined
  } catch (err) {
    if (err instanceof EncodingError || err instanceof TypeError) return undefined // TypeError: of fromUtf8
    throw err
  }
}

/**
 * Reads what looksLikeResultToken() says is one: an EAR where its profile is one of EAR, else an EAT.
 * @throws ResultError
 */
export function readResultToken(bytes: Uint8Array): ResultToken {
  if ((bytes[0] ?? 0) >> 5 === MAP_MAJOR) {
    const isEar = hasEarProfile(decoded('CBOR', () => decodeCborItem(bytes, CLAIMS_LIMITS)))
    return isEar
      ? { kind: 'ear', ear: readEarCbor(bytes), form: 'cbor' }
      : { kind: 'eat', eat: readEatCbor(bytes), form: 'cbor' }
  }
  const [, header, payload] = COMPACT.exec(fromUtf8(bytes)) ?? []
  if (header === undefined || payload === undefined) return { ...fromJson(bytes), form: 'json' }
  const token = fromUtf8(bytes).trim()
  return { ...fromJson(base64url(payload, 'payload')), form: 'jwt', token, algorithm: algorithmOf(header) }
}

function fromJson(claims: Uint8Array) {
  return hasEarProfile(decoded('JSON', () => parseJson(claims, CLAIMS_LIMITS)))
    ? ({ kind: 'ear', ear: readEarJson(claims) } as const)
    : ({ kind: 'eat', eat: readEatJson(claims) } as const)
}

function hasEarProfile(claims: Value): boolean {
  const profile = isMap(claims) ? PROFILE_KEYS.map((key) => claims.get(key)).find((v) => v !== undefined) : undefined
  return typeof profile === 'string' && earDialect(profile) !== undefined
}

function algorithmOf(header: string): string {
  const value = decoded('JSON', () => parseJson(base64url(header, 'header'), { ...CLAIMS_LIMITS, maxDepth: 8 }))
  const algorithm = isMap(value) ? value.get('alg') : undefined
  if (typeof algorithm !== 'string') throw badClaim('alg: the header of the token has none')
  return algorithm
}

function base64url(text: string, what: string): Uint8Array {
  const bytes = fromBase64url(text)
  if (bytes === undefined) throw new ResultError('RESULT_NOT_JSON', `the token's ${what} is not base64url`)
  return bytes
}
