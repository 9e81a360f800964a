import { fromUtf8 } from '../base/index.ts'
import { EncodingError, type EncodingLimits } from './errors.ts'
import type { Value } from './value.ts'

export interface JsonOptions extends EncodingLimits {
  /** Allows a comma before a closing bracket, as json-c reads and some of its users write. */
  readonly trailingCommas?: boolean
}

/** Longest number that is read; 2^64 has 20 digits. */
const MAX_NUMBER = 40
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y
const SPACE = /[ \t\n\r]*/y
const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE_CODE = 0x20

/**
 * One JSON text (RFC 8259), without what JSON.parse lets through: a member given twice, a number with a fraction or
 * exponent that looks like an integer afterwards, half of a surrogate pair.
 *
 * @param bytes UTF-8
 * @throws EncodingError ENCODING_TOO_LONG, ENCODING_TOO_COMPLEX, ENCODING_NOT_JSON, ENCODING_DUPLICATE_KEY
 */
export function parseJson(bytes: Uint8Array, options: JsonOptions): Value {
  return jsonReader(bytes, options).text()
}

/**
 * JSON texts one after another: lines, or an RFC 7464 sequence with U+001E before each.
 * @throws EncodingError as parseJson
 */
export function parseJsonTexts(bytes: Uint8Array, options: JsonOptions): Value[] {
  return jsonReader(bytes, options).texts()
}

function jsonReader(bytes: Uint8Array, options: JsonOptions): JsonReader {
  if (bytes.length > options.maxBytes) {
    throw new EncodingError('ENCODING_TOO_LONG', `${bytes.length} bytes, at most ${options.maxBytes} are read`)
  }
  let text: string
  try {
    text = fromUtf8(bytes)
  } catch (cause) {
    throw new EncodingError('ENCODING_NOT_JSON', 'not UTF-8', { cause })
  }
  return new JsonReader(text, options)
}

class JsonReader {
  readonly #text: string
  readonly #options: JsonOptions
  #at = 0
  #items = 0

  constructor(text: string, options: JsonOptions) {
    this.#text = text
    this.#options = options
  }

  text(): Value {
    this.#space()
    const value = this.#value(0)
    this.#space()
    if (this.#at < this.#text.length) throw this.#error('another value after the first')
    return value
  }

  texts(): Value[] {
    const values: Value[] = []
    for (this.#separators(); this.#at < this.#text.length; this.#separators()) values.push(this.#value(0))
    return values
  }

  /** Between texts: white space, and RFC 7464's record separator. */
  #separators(): void {
    for (this.#space(); this.#text[this.#at] === '\u001e'; this.#space()) this.#at++
  }

  #value(depth: number): Value {
    const { maxDepth, maxItems } = this.#options
    if (depth > maxDepth) throw new EncodingError('ENCODING_TOO_COMPLEX', `JSON nested deeper than ${maxDepth}`)
    if (++this.#items > maxItems) throw new EncodingError('ENCODING_TOO_COMPLEX', `more than ${maxItems} JSON values`)
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      default:
        return this.#number()
    }
  }

  #object(depth: number): Value {
    const members = new Map<string, Value>()
    this.#at++
    for (this.#space(); this.#text[this.#at] !== '}'; ) {
      if (this.#text[this.#at] !== '"') throw this.#error('a member name must be here')
      const name = this.#string()
      if (members.has(name)) {
        throw new EncodingError('ENCODING_DUPLICATE_KEY', `member ${JSON.stringify(name.slice(0, 64))} twice`)
      }
      this.#space()
      if (this.#text[this.#at] !== ':') throw this.#error('a colon must be here')
      this.#at++
      this.#space()
      members.set(name, this.#value(depth + 1))
      if (!this.#comma('}')) break
    }
    this.#at++
    return members
  }

  #array(depth: number): Value {
    const values: Value[] = []
    this.#at++
    for (this.#space(); this.#text[this.#at] !== ']'; ) {
      values.push(this.#value(depth + 1))
      if (!this.#comma(']')) break
    }
    this.#at++
    return values
  }

  /** @returns false when the closing bracket is next */
  #comma(close: string): boolean {
    this.#space()
    const next = this.#text[this.#at]
    if (next === close) return false
    if (next !== ',') throw this.#error(`a comma or ${close} must be here`)
    this.#at++
    this.#space()
    if (this.#text[this.#at] === close && this.#options.trailingCommas !== true) {
      throw this.#error(`a comma before ${close}`)
    }
    return true
  }

  #string(): string {
    const start = this.#at
    let escaped = false
    let end = start + 1
    for (let c = this.#text.charCodeAt(end); c !== QUOTE; c = this.#text.charCodeAt(end)) {
      if (!(c >= SPACE_CODE)) throw this.#error('a string that does not end, or with a control character') // also NaN
      if (c === BACKSLASH) escaped = true
      end += c === BACKSLASH ? 2 : 1
    }
    this.#at = end + 1
    if (!escaped) return this.#text.slice(start + 1, end)
    let text: unknown
    try {
      text = JSON.parse(this.#text.slice(start, end + 1))
    } catch (cause) {
      throw this.#error('an escape that JSON does not have', cause, start)
    }
    if (typeof text !== 'string' || !text.isWellFormed())
      throw this.#error('half of a surrogate pair', undefined, start)
    return text
  }

  #number(): Value {
    const start = this.#at
    const raw = this.#match(NUMBER)
    if (raw === undefined) throw this.#error('no JSON value')
    if (raw.length > MAX_NUMBER) throw this.#error(`a number of ${raw.length} characters`, undefined, start)
    if (/[.eE]/.test(raw)) {
      const float = Number(raw)
      if (!Number.isFinite(float)) throw this.#error('a number beyond all bounds', undefined, start)
      return { float }
    }
    const integer = Number(raw)
    if (Number.isSafeInteger(integer)) return integer === 0 ? 0 : integer // no negative zero
    return BigInt(raw)
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#error('no JSON value')
    this.#at += word.length
    return value
  }

  #space(): void {
    this.#match(SPACE)
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found !== undefined) this.#at += found.length
    return found
  }

  #error(problem: string, cause?: unknown, at = this.#at): EncodingError {
    return new EncodingError('ENCODING_NOT_JSON', `at character ${at}: ${problem}`, { cause })
  }
}
