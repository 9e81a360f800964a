/**
 * A number that was written with a fraction or an exponent, kept apart: 1.0 is not an integer in any format read here.
 */
export interface Float {
  readonly float: number
}

/** A tagged CBOR item. */
export interface Tagged {
  readonly tag: number
  readonly value: Value
}

/** Members by name, or by integer key in CBOR, in the order read; a Map, so that no name is special. */
export type ValueMap = ReadonlyMap<string | number, Value>

/**
 * What JSON and CBOR are read into, so that one reader does for both. Integers beyond 2^53 are bigint; bytes are CBOR
 * only.
 */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Float
  | Tagged
  | readonly Value[]
  | ValueMap

/** Makes the error of a reader's own subject. */
export type Fail = (problem: string) => Error

export function isMap(value: Value | undefined): value is ValueMap {
  return value instanceof Map
}

export function isArray(value: Value | undefined): value is readonly Value[] {
  return Array.isArray(value)
}

export function isTagged(value: Value | undefined): value is Tagged {
  return kindOf(value) === 'a tag'
}

/** For messages: what a value is, without its content. */
export function kindOf(value: Value | undefined): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (value instanceof Uint8Array) return 'bytes'
  if (isArray(value)) return 'an array'
  if (isMap(value)) return 'a map'
  if (typeof value === 'object') return 'tag' in value ? 'a tag' : 'a float'
  if (typeof value === 'string') return 'text'
  return typeof value === 'boolean' ? 'a boolean' : 'an integer'
}

export function asMap(value: Value | undefined, what: string, fail: Fail): ValueMap {
  if (!isMap(value)) throw fail(`${what}: ${kindOf(value)} where a map must be`)
  return value
}

export function asArray(value: Value | undefined, what: string, max: number, fail: Fail): readonly Value[] {
  if (!isArray(value)) throw fail(`${what}: ${kindOf(value)} where an array must be`)
  if (value.length > max) throw fail(`${what}: ${value.length} entries, at most ${max} are read`)
  return value
}

/** @param max in UTF-16 code units */
export function asText(value: Value | undefined, what: string, max: number, fail: Fail): string {
  if (typeof value !== 'string') throw fail(`${what}: ${kindOf(value)} where text must be`)
  if (value.length > max) throw fail(`${what}: ${value.length} characters, at most ${max} are read`)
  return value
}

export function asBytes(value: Value | undefined, what: string, min: number, max: number, fail: Fail): Uint8Array {
  if (!(value instanceof Uint8Array)) throw fail(`${what}: ${kindOf(value)} where bytes must be`)
  if (value.length < min || value.length > max) throw fail(`${what}: ${value.length} bytes, expected ${min} to ${max}`)
  return value
}

/** An integer within bounds that a number can hold. */
export function asInteger(value: Value | undefined, what: string, min: number, max: number, fail: Fail): number {
  if (typeof value !== 'number') {
    throw fail(typeof value === 'bigint' ? `${what}: ${value} is outside ${min}..${max}` : wrongInteger(what, value))
  }
  if (value < min || value > max) throw fail(`${what}: ${value} is outside ${min}..${max}`)
  return value
}

/** An integer of 0 to 2^64 - 1. */
export function asU64(value: Value | undefined, what: string, fail: Fail): bigint {
  if (typeof value !== 'number' && typeof value !== 'bigint') throw fail(wrongInteger(what, value))
  const n = BigInt(value)
  if (n < 0n || n > 0xffff_ffff_ffff_ffffn) throw fail(`${what}: ${n} is outside 0..2^64-1`)
  return n
}

export function asBoolean(value: Value | undefined, what: string, fail: Fail): boolean {
  if (typeof value !== 'boolean') throw fail(`${what}: ${kindOf(value)} where true or false must be`)
  return value
}

/** A member that may be absent, through the reader of its type. */
export function optional<T>(map: ValueMap, key: string | number, read: (value: Value) => T): T | undefined {
  const value = map.get(key)
  return value === undefined ? undefined : read(value)
}

function wrongInteger(what: string, value: Value | undefined): string {
  return `${what}: ${kindOf(value)} where an integer must be`
}
