import { utf8 } from '../base/index.ts'
import {
  asArray,
  asBoolean,
  asInteger,
  asMap,
  asText,
  decodeCborItem,
  isArray,
  isMap,
  parseJson,
  type Value,
  type ValueMap,
} from '../encoding/index.ts'
import { binary, CLAIMS_LIMITS, type ClaimsEncoding, nonces } from './claims.ts'
import type { EatClaims, EatSubmod, Ueid } from './eat.ts'
import {
  MAX_TEXT,
  present,
  readDebugStatus,
  readDloas,
  readEmbedded,
  readLocation,
  readMeasurementResults,
  readOemId,
  readUeid,
  readVersion,
} from './eat-fields.ts'
import { badClaim, decoded } from './errors.ts'

/** JSON name and CBOR key of each claim. Source: RFC 9711 §7.3, RFC 8392 §4. */
const LABELS = {
  nonce: ['eat_nonce', 10],
  ueid: ['ueid', 256],
  sueids: ['sueids', 257],
  oemId: ['oemid', 258],
  hwModel: ['hwmodel', 259],
  hwVersion: ['hwversion', 260],
  uptime: ['uptime', 261],
  oemBoot: ['oemboot', 262],
  debugStatus: ['dbgstat', 263],
  location: ['location', 264],
  profile: ['eat_profile', 265],
  submods: ['submods', 266],
  bootCount: ['bootcount', 267],
  bootSeed: ['bootseed', 268],
  dloas: ['dloas', 269],
  swName: ['swname', 270],
  swVersion: ['swversion', 271],
  manifests: ['manifests', 272],
  measurements: ['measurements', 273],
  measurementResults: ['measres', 274],
  intendedUse: ['intuse', 275],
  issuer: ['iss', 1],
  subject: ['sub', 2],
  audience: ['aud', 3],
  expiresAt: ['exp', 4],
  notBefore: ['nbf', 5],
  issuedAt: ['iat', 6],
} as const
type ClaimName = keyof typeof LABELS

const KNOWN: Readonly<Record<ClaimsEncoding, ReadonlySet<string | number>>> = {
  json: new Set(Object.values(LABELS).map(([name]) => name)),
  cbor: new Set(Object.values(LABELS).map(([, key]) => key)),
}
const MAX_SUBMODS = 256
const MAX_COUNT = Number.MAX_SAFE_INTEGER
const MAX_TIME = 253_402_300_799
const MAX_TOKEN = 3 << 20

/**
 * A claims set of an entity attestation token in JSON. Only its form is checked.
 * @throws ResultError RESULT_NOT_JSON, RESULT_TOO_LONG, RESULT_BAD_CLAIM
 */
export function readEatJson(claims: Uint8Array | string): EatClaims {
  const bytes = typeof claims === 'string' ? utf8(claims) : claims
  return readClaims(
    decoded('JSON', () => parseJson(bytes, CLAIMS_LIMITS)),
    'json',
  )
}

/**
 * A claims set of an entity attestation token in CBOR. Only its form is checked.
 * @throws ResultError RESULT_NOT_CBOR, RESULT_TOO_LONG, RESULT_BAD_CLAIM
 */
export function readEatCbor(claims: Uint8Array): EatClaims {
  return readClaims(
    decoded('CBOR', () => decodeCborItem(claims, CLAIMS_LIMITS)),
    'cbor',
  )
}

function readClaims(value: Value, encoding: ClaimsEncoding): EatClaims {
  const map = asMap(value, 'claims', badClaim)
  const get = (name: ClaimName): Value | undefined => map.get(LABELS[name][encoding === 'json' ? 0 : 1])
  const read = <T>(name: ClaimName, reader: (value: Value) => T): T | undefined => {
    const claim = get(name)
    return claim === undefined ? undefined : reader(claim)
  }
  const text = (name: ClaimName) => read(name, (v) => asText(v, name, MAX_TEXT, badClaim))
  const integer = (name: ClaimName, max: number) => read(name, (v) => asInteger(v, name, 0, max, badClaim))
  return present({
    nonces: nonces(get('nonce'), encoding),
    ueid: read('ueid', (v) => readUeid(v, 'ueid', encoding)),
    sueids: read('sueids', (v) => readSueids(v, encoding)) ?? new Map(),
    oemId: read('oemId', (v) => readOemId(v, encoding)),
    hwModel: read('hwModel', (v) => binary(v, 'hwmodel', encoding, 1, 32)),
    hwVersion: read('hwVersion', (v) => readVersion(v, 'hwversion')),
    uptimeS: integer('uptime', MAX_COUNT),
    oemBoot: read('oemBoot', (v) => asBoolean(v, 'oemboot', badClaim)),
    debugStatus: read('debugStatus', (v) => readDebugStatus(v, encoding)),
    location: read('location', (v) => readLocation(v, encoding)),
    profile: read('profile', (v) => readProfile(v, encoding)),
    submods: read('submods', (v) => readSubmods(v, encoding)) ?? new Map(),
    bootCount: integer('bootCount', MAX_COUNT),
    bootSeed: read('bootSeed', (v) => binary(v, 'bootseed', encoding, 1, 1024)),
    dloas: read('dloas', readDloas) ?? [],
    swName: text('swName'),
    swVersion: read('swVersion', (v) => readVersion(v, 'swversion')),
    manifests: read('manifests', (v) => readEmbedded(v, 'manifests', encoding)) ?? [],
    measurements: read('measurements', (v) => readEmbedded(v, 'measurements', encoding)) ?? [],
    measurementResults: read('measurementResults', (v) => readMeasurementResults(v, encoding)) ?? [],
    intendedUse: read('intendedUse', (v) => readIntendedUse(v, encoding)),
    issuer: text('issuer'),
    subject: text('subject'),
    audience: read('audience', readAudience) ?? [],
    expiresAt: integer('expiresAt', MAX_TIME),
    notBefore: integer('notBefore', MAX_TIME),
    issuedAt: integer('issuedAt', MAX_TIME),
    others: new Map([...map].filter(([key]) => !KNOWN[encoding].has(key))),
  })
}

function readSueids(value: Value, encoding: ClaimsEncoding): ReadonlyMap<string, Ueid> {
  const map = asMap(value, 'sueids', badClaim)
  if (map.size < 1 || map.size > MAX_SUBMODS) throw badClaim(`sueids: ${map.size}, expected 1 to ${MAX_SUBMODS}`)
  return labelled(map, 'sueids', (ueid) => readUeid(ueid, 'sueids', encoding))
}

function readSubmods(value: Value, encoding: ClaimsEncoding): ReadonlyMap<string, EatSubmod> {
  const map = asMap(value, 'submods', badClaim)
  if (map.size < 1 || map.size > MAX_SUBMODS) throw badClaim(`submods: ${map.size}, expected 1 to ${MAX_SUBMODS}`)
  return labelled(map, 'submods', (submod) => readSubmod(submod, encoding))
}

/** Claims; in JSON else a pair of type and content; in CBOR else text, bytes or a digest. Source: RFC 9711 §4.2.18. */
function readSubmod(value: Value, encoding: ClaimsEncoding): EatSubmod {
  if (isMap(value)) return { kind: 'claims', claims: readClaims(value, encoding) }
  if (encoding === 'cbor') {
    if (typeof value === 'string') return { kind: 'token', type: 'JWT', token: value }
    if (value instanceof Uint8Array) return { kind: 'token', type: 'CBOR', token: value }
    return readDigest(value, encoding)
  }
  const [type, content] = asArray(value, 'submodule', 2, badClaim)
  switch (type) {
    case 'JWT':
      return { kind: 'token', type, token: asText(content, 'nested token', MAX_TOKEN, badClaim) }
    case 'CBOR':
      return { kind: 'token', type, token: binary(content, 'nested token', encoding, 1, MAX_TOKEN) }
    case 'BUNDLE':
      return { kind: 'bundle', bundle: asArray(content, 'nested bundle', 2, badClaim) }
    case 'DIGEST':
      return readDigest(content, encoding)
    default:
      throw badClaim('submodule: not of type JWT, CBOR, BUNDLE or DIGEST')
  }
}

function readDigest(value: Value | undefined, encoding: ClaimsEncoding): EatSubmod {
  const [algorithm, digest] = asArray(value, 'submodule digest', 2, badClaim)
  const name = typeof algorithm === 'number' ? algorithm : asText(algorithm, 'submodule digest algorithm', 64, badClaim)
  return { kind: 'digest', algorithm: name, digest: binary(digest, 'submodule digest', encoding, 20, 64) }
}

function readProfile(value: Value, encoding: ClaimsEncoding): string | Uint8Array {
  if (encoding === 'cbor' && value instanceof Uint8Array) return binary(value, 'eat_profile', encoding, 1, 256)
  return asText(value, 'eat_profile', MAX_TEXT, badClaim)
}

function readIntendedUse(value: Value, encoding: ClaimsEncoding): string | number {
  return encoding === 'json'
    ? asText(value, 'intuse', 64, badClaim)
    : asInteger(value, 'intuse', -65_536, 65_535, badClaim)
}

function readAudience(value: Value): readonly string[] {
  const list = isArray(value) ? asArray(value, 'aud', MAX_SUBMODS, badClaim) : [value]
  return list.map((audience) => asText(audience, 'aud', MAX_TEXT, badClaim))
}

function labelled<T>(map: ValueMap, what: string, read: (value: Value) => T): ReadonlyMap<string, T> {
  return new Map([...map].map(([label, value]) => [asText(label, `label in ${what}`, MAX_TEXT, badClaim), read(value)]))
}
