import { type DecodeOptions, type Token, Tokenizer, Type } from 'cborg'
import { EncodingError, type EncodingLimits } from './errors.ts'

/**
 * What every reader of CBOR here asks of it: definite lengths, shortest heads, no repeated key, numbers that are
 * numbers.
 */
export const STRICT_CBOR: DecodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  rejectDuplicateMapKeys: true,
}

/** Tokens of CBOR items, counted and bounded while they are read: the decoder behind them recurses and allocates. */
export class BoundedTokenizer extends Tokenizer {
  readonly #limits: Omit<EncodingLimits, 'maxBytes'>
  readonly #open: number[] = [] // items still to come in each open array, map or tag, outermost first
  #items = 0

  constructor(bytes: Uint8Array, options: DecodeOptions, limits: Omit<EncodingLimits, 'maxBytes'>) {
    super(bytes, options)
    this.#limits = limits
  }

  /** @throws EncodingError ENCODING_TOO_COMPLEX; errors of cborg for what is no CBOR */
  override next(): Token {
    const token = super.next()
    const { maxItems, maxDepth } = this.#limits
    if (++this.#items > maxItems) throw new EncodingError('ENCODING_TOO_COMPLEX', `more than ${maxItems} CBOR items`)
    const children = childrenOf(token)
    if (children > maxItems) {
      throw new EncodingError(
        'ENCODING_TOO_COMPLEX',
        `a CBOR item with ${children} items, at most ${maxItems} are read`,
      )
    }
    if (children > 0) {
      this.#open.push(children)
      if (this.#open.length > maxDepth) {
        throw new EncodingError('ENCODING_TOO_COMPLEX', `CBOR nested deeper than ${maxDepth}`)
      }
      return token
    }
    for (let left = this.#open.pop(); left !== undefined; left = this.#open.pop()) {
      if (left > 1) {
        this.#open.push(left - 1)
        break
      }
    }
    return token
  }
}

function childrenOf({ type, value }: Token): number {
  if (type === Type.map) return 2 * value
  if (type === Type.array) return value
  return type === Type.tag ? 1 : 0
}
