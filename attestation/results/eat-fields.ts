import { asArray, asInteger, asMap, asText, optional, type Value } from '../encoding/index.ts'
import { binary, type ClaimsEncoding } from './claims.ts'
import type { EatClaims, EmbeddedFormat, Location, MeasurementResults, OemId, Ueid, Version } from './eat.ts'
import { DEBUG_STATUS, type DebugStatus, MEASUREMENT_RESULTS, type MeasurementResult } from './eat.ts'
import { badClaim } from './errors.ts'

export const MAX_TEXT = 4096
const MAX_LIST = 256
const MAX_EMBEDDED = 2 << 20

/** Lengths with the type byte: 128, 192 or 256 random bits; EUI-48 or EUI-64; an IMEI of 14 digits. */
const UEID_KINDS: ReadonlyMap<number, { readonly kind: Ueid['kind']; readonly lengths: readonly number[] }> = new Map([
  [1, { kind: 'random', lengths: [17, 25, 33] }],
  [2, { kind: 'eui', lengths: [7, 9] }],
  [3, { kind: 'imei', lengths: [15] }],
])

export function readUeid(value: Value | undefined, what: string, encoding: ClaimsEncoding): Ueid {
  const bytes = binary(value, what, encoding, 7, 33)
  const known = UEID_KINDS.get(bytes[0] ?? 0)
  if (known === undefined) throw badClaim(`${what}: type ${bytes[0]} is not known`)
  if (!known.lengths.includes(bytes.length)) throw badClaim(`${what}: ${bytes.length} bytes for type ${known.kind}`)
  return { kind: known.kind, bytes }
}

export function readOemId(value: Value, encoding: ClaimsEncoding): OemId {
  if (typeof value === 'number') {
    return { kind: 'pen', number: asInteger(value, 'oemid', 0, 0xffffffff, badClaim) }
  }
  const bytes = binary(value, 'oemid', encoding, 3, 16)
  if (bytes.length === 3) return { kind: 'ieee', bytes }
  if (bytes.length !== 16) throw badClaim(`oemid: ${bytes.length} bytes, expected 3 or 16`)
  return { kind: 'random', bytes }
}

export function readVersion(value: Value, what: string): Version {
  const parts = asArray(value, what, 2, badClaim)
  const version = asText(parts[0], what, MAX_TEXT, badClaim)
  const scheme = parts[1]
  if (scheme === undefined) return { version }
  if (typeof scheme === 'string') return { version, scheme: asText(scheme, `${what} scheme`, MAX_TEXT, badClaim) }
  return { version, scheme: asInteger(scheme, `${what} scheme`, -0x8000, 0xffff, badClaim) }
}

/** A word in JSON, a number in CBOR. */
export function readDebugStatus(value: Value, encoding: ClaimsEncoding): DebugStatus {
  const index = encoding === 'json' ? indexOf(DEBUG_STATUS, value) : value
  const status = typeof index === 'number' ? DEBUG_STATUS[index] : undefined
  if (status === undefined) throw badClaim(`dbgstat: not one of ${DEBUG_STATUS.join(', ')}`)
  return status
}

export function readLocation(value: Value, encoding: ClaimsEncoding): Location {
  const map = asMap(value, 'location', badClaim)
  const names = ['latitude', 'longitude', 'altitude', 'accuracy', 'altitude-accuracy', 'heading', 'speed'] as const
  const number = (name: (typeof names)[number]): number | undefined =>
    optional(map, encoding === 'json' ? name : names.indexOf(name) + 1, (v) => asNumber(v, name))
  const [latitude, longitude] = [number('latitude'), number('longitude')]
  if (latitude === undefined || longitude === undefined)
    throw badClaim('location: latitude and longitude must be there')
  if (Math.abs(latitude) > 90 || Math.abs(longitude) > 180) throw badClaim('location: not on the globe')
  const integer = (name: string, key: number): number | undefined =>
    optional(map, encoding === 'json' ? name : key, (v) => asInteger(v, name, 0, Number.MAX_SAFE_INTEGER, badClaim))
  return present({
    latitude,
    longitude,
    altitude: number('altitude'),
    accuracy: number('accuracy'),
    altitudeAccuracy: number('altitude-accuracy'),
    heading: number('heading'),
    speed: number('speed'),
    timestamp: integer('timestamp', 8),
    age: integer('age', 9),
  })
}

export function readDloas(value: Value): EatClaims['dloas'] {
  return filled(value, 'dloas').map((entry) => {
    const parts = asArray(entry, 'dloa', 3, badClaim).map((part) => asText(part, 'dloa', MAX_TEXT, badClaim))
    const [registrar, platform, application] = parts
    if (registrar === undefined || platform === undefined) throw badClaim('dloa: registrar and platform must be there')
    return present({ registrar, platform, application })
  })
}

export function readEmbedded(value: Value, what: string, encoding: ClaimsEncoding): readonly EmbeddedFormat[] {
  return filled(value, what).map((entry) => {
    const parts = asArray(entry, what, 2, badClaim)
    return {
      contentType: asInteger(parts[0], `${what} content type`, 0, 0xffff, badClaim),
      body: binary(parts[1], what, encoding, 0, MAX_EMBEDDED),
    }
  })
}

export function readMeasurementResults(value: Value, encoding: ClaimsEncoding): readonly MeasurementResults[] {
  return filled(value, 'measres').map((entry) => {
    const parts = asArray(entry, 'measres', 2, badClaim)
    const results = filled(parts[1], 'measres').map((one) => {
      const [id, result] = asArray(one, 'measres', 2, badClaim)
      return { id: readResultId(id), result: readResult(result, encoding) }
    })
    return { system: asText(parts[0], 'measurement system', MAX_TEXT, badClaim), results }
  })
}

function readResultId(value: Value | undefined): string | Uint8Array {
  if (value instanceof Uint8Array && value.length <= MAX_TEXT) return value
  return asText(value, 'result id', MAX_TEXT, badClaim)
}

function readResult(value: Value | undefined, encoding: ClaimsEncoding): MeasurementResult {
  const index = encoding === 'json' ? indexOf(MEASUREMENT_RESULTS, value) : Number(value) - 1
  const result = encoding === 'cbor' && typeof value !== 'number' ? undefined : MEASUREMENT_RESULTS[index]
  if (result === undefined) throw badClaim(`measres: not one of ${MEASUREMENT_RESULTS.join(', ')}`)
  return result
}

function indexOf(names: readonly string[], value: Value | undefined): number {
  return typeof value === 'string' ? names.indexOf(value) : -1
}

/** An array with at least one entry. */
function filled(value: Value | undefined, what: string): readonly Value[] {
  const list = asArray(value, what, MAX_LIST, badClaim)
  if (list.length === 0) throw badClaim(`${what}: the list is empty`)
  return list
}

function asNumber(value: Value, what: string): number {
  if (typeof value === 'number') return value
  if (typeof value === 'object' && value !== null && 'float' in value) return value.float
  throw badClaim(`${what}: a number must be here`)
}

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>
}

/** The same without members that are undefined. */
export function present<T extends object>(value: T): Present<T> {
  // what is left has the type of the members that are there
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as Present<T>
}
