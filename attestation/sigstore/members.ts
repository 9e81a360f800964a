import { asArray, asMap, asText, EncodingError, parseJson, type Value, type ValueMap } from '../encoding/index.ts'
import { malformed } from './errors.ts'

/** A bundle with an SBOM in it has some MiB; what is larger is no signature. */
export const MAX_JSON_BYTES = 8 << 20
const LIMITS = { maxBytes: MAX_JSON_BYTES, maxDepth: 24, maxItems: 200_000 }
const MAX_TEXT = MAX_JSON_BYTES
const SECONDS_LIMIT = 253_402_300_800n // year 10000

/** One JSON object of protobuf's JSON mapping: 64-bit integers as text, bytes as base64, absent for a default value. */
export class Members {
  readonly #map: ValueMap
  readonly #path: string

  constructor(value: Value | undefined, path: string) {
    this.#map = asMap(value, path, malformed)
    this.#path = path
  }

  has(name: string): boolean {
    const value = this.#map.get(name)
    return value !== undefined && value !== null
  }

  object(name: string): Members {
    return new Members(this.#map.get(name), this.#at(name))
  }

  /** Members of a list; none where it is absent. */
  objects(name: string, max: number): readonly Members[] {
    return this.#list(name, max).map((v, i) => new Members(v, `${this.#at(name)}[${i}]`))
  }

  /** Texts of a list; none where it is absent. */
  texts(name: string, max: number): readonly string[] {
    return this.#list(name, max).map((v, i) => asText(v, `${this.#at(name)}[${i}]`, MAX_TEXT, malformed))
  }

  text(name: string): string {
    return asText(this.#map.get(name), this.#at(name), MAX_TEXT, malformed)
  }

  optionalText(name: string): string | undefined {
    return this.has(name) ? this.text(name) : undefined
  }

  /** base64 of at least one byte. */
  bytes(name: string): Uint8Array {
    return base64Bytes(this.text(name), this.#at(name))
  }

  /** A natural number below 2^63, written as text or number; 0 where it is absent. */
  natural(name: string): bigint {
    const value = this.#map.get(name)
    if (!this.has(name)) return 0n
    const text = typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
    if (!/^(0|[1-9][0-9]{0,18})$/.test(text)) throw malformed(`${this.#at(name)} is no natural number`)
    return BigInt(text)
  }

  /** RFC 3339; undefined where it is absent. */
  time(name: string): Date | undefined {
    const text = this.optionalText(name)
    if (text === undefined) return undefined
    const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(text) ? new Date(text) : new Date(Number.NaN)
    if (Number.isNaN(time.getTime())) throw malformed(`${this.#at(name)} is no time of RFC 3339 in UTC`)
    return time
  }

  names(): readonly string[] {
    return [...this.#map.keys()].map(String)
  }

  /** For what is signed and must be understood whole. */
  only(...known: readonly string[]): void {
    for (const name of this.names()) if (!known.includes(name)) throw malformed(`${this.#at(name)} is not known`)
  }

  #list(name: string, max: number): readonly Value[] {
    return this.has(name) ? asArray(this.#map.get(name), this.#at(name), max, malformed) : []
  }

  #at(name: string): string {
    return `${this.#path}.${name.slice(0, 60)}`
  }
}

/** @throws SigstoreError SIGSTORE_MALFORMED */
export function parseMembers(bytes: Uint8Array, what: string): Members {
  try {
    return new Members(parseJson(bytes, LIMITS), what)
  } catch (cause) {
    if (!(cause instanceof EncodingError)) throw cause
    throw malformed(`${what}: ${cause.message}`, cause)
  }
}

/** @throws SigstoreError SIGSTORE_MALFORMED for what is empty or not base64 with padding */
export function base64Bytes(text: string, what: string): Uint8Array {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 !== 0) throw malformed(`${what} is not base64`)
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
}

/** Padded base64. */
export function base64Text(bytes: Uint8Array): string {
  let binary = ''
  for (const b of bytes) binary += String.fromCharCode(b)
  return btoa(binary)
}

/** The DER of the first PEM block of a text: certificates and keys in log entries are written so. */
export function pemBytes(pem: string, what: string): Uint8Array {
  const body = /^\s*-----BEGIN ([A-Z ]+)-----([A-Za-z0-9+/=\s]+)-----END \1-----\s*$/.exec(pem)?.[2]
  if (body === undefined) throw malformed(`${what} is not one PEM block`)
  return base64Bytes(body.replace(/\s/g, ''), what)
}

/** @throws SigstoreError SIGSTORE_MALFORMED beyond the year 9999 */
export function timeOfSeconds(seconds: bigint, what: string): Date {
  if (seconds >= SECONDS_LIMIT) throw malformed(`${what}: ${seconds} s is no time`)
  return new Date(Number(seconds) * 1000)
}
