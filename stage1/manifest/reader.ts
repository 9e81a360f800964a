import { fromUtf8 } from '../../attestation/base/index.ts'
import { ManifestError } from './errors.ts'

/** Complaints beyond this number are not collected: a hostile document must not make a huge message. */
const MAX_COMPLAINTS = 20

/**
 * Takes a JSON value of unknown shape apart and notes each bad path, so that one error can name them all.
 * Every getter returns a value of the right type, a neutral one where the input was wrong; `finish` then throws.
 */
export class ShapeReader {
  readonly #what: string
  readonly #complaints: string[] = []

  /** @param what the document's name in the error message, e.g. 'image manifest' */
  constructor(what: string) {
    this.#what = what
  }

  complain(path: string, wanted: string): void {
    if (this.#complaints.length < MAX_COMPLAINTS) this.#complaints.push(`${path}: ${wanted}`)
  }

  object(value: unknown, path: string): Readonly<Record<string, unknown>> {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Readonly<Record<string, unknown>> // a JSON object: string keys, values still unknown
    }
    this.complain(path, `expected an object, got ${kindOf(value)}`)
    return {}
  }

  /** @returns undefined for an absent or null member: Go programs write null for an empty map or list */
  optionalObject(value: unknown, path: string): Readonly<Record<string, unknown>> | undefined {
    return value === undefined || value === null ? undefined : this.object(value, path)
  }

  /** @returns an empty list for an absent or null member */
  list(value: unknown, path: string, max: number): readonly unknown[] {
    if (value === undefined || value === null) return []
    if (!Array.isArray(value)) {
      this.complain(path, `expected a list, got ${kindOf(value)}`)
      return []
    }
    if (value.length > max) {
      this.complain(path, `has ${value.length} elements, at most ${max} are allowed`)
      return []
    }
    return value
  }

  string(value: unknown, path: string): string {
    if (typeof value !== 'string') {
      this.complain(path, `expected a string, got ${kindOf(value)}`)
      return ''
    }
    // NUL separates list elements in the plan directory and ends strings in C: it can be in no value.
    if (value.includes('\0') || !value.isWellFormed()) this.complain(path, 'contains NUL or an unpaired surrogate')
    return value
  }

  optionalString(value: unknown, path: string): string | undefined {
    return value === undefined || value === null ? undefined : this.string(value, path)
  }

  strings(value: unknown, path: string, max: number): readonly string[] {
    return this.list(value, path, max).map((v, i) => this.string(v, `${path}[${i}]`))
  }

  boolean(value: unknown, path: string): boolean {
    if (typeof value !== 'boolean') this.complain(path, `expected true or false, got ${kindOf(value)}`)
    return value === true
  }

  /** Applies a constructor that throws RangeError for a bad value and notes its message instead. */
  checked<T>(make: () => T, path: string): T | undefined {
    try {
      return make()
    } catch (err) {
      if (!(err instanceof RangeError)) throw err
      this.complain(path, err.message)
      return undefined
    }
  }

  /** Notes members that are not in `known`: in our own documents a misspelt member must not be ignored. */
  onlyKnown(object: Readonly<Record<string, unknown>>, path: string, known: readonly string[]): void {
    for (const key of Object.keys(object)) if (!known.includes(key)) this.complain(`${path}.${key}`, 'unknown member')
  }

  /** @throws ManifestError MANIFEST_INVALID listing every complaint */
  finish(): void {
    if (this.#complaints.length > 0) {
      throw new ManifestError('MANIFEST_INVALID', `${this.#what} is not valid: ${this.#complaints.join('; ')}`)
    }
  }
}

/**
 * @param bytes UTF-8 JSON
 * @param what the document's name in the error message
 * @throws ManifestError MANIFEST_NOT_JSON
 */
export function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(fromUtf8(bytes))
  } catch (cause) {
    throw new ManifestError('MANIFEST_NOT_JSON', `${what} is not UTF-8 JSON`, { cause })
  }
}

function kindOf(value: unknown): string {
  return value === null
    ? 'null'
    : Array.isArray(value)
      ? 'a list'
      : value === undefined
        ? 'nothing'
        : `a ${typeof value}`
}
