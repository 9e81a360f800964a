import { hash } from 'node:crypto'
import { type HashAlgorithm, hashSize } from './hash.ts'

// Asking Node for a digest as bytes allocates an ArrayBuffer, which costs more than the hash of a short message. As a binary string (one
// character for each byte) it costs half, and it compares with `===`. The input is always bytes: text would be hashed as UTF-8.

/** Digest as a binary string, for comparing with `bytesText`. */
export function digestText(alg: HashAlgorithm, bytes: Uint8Array): string {
  return hash(alg, bytes, 'binary')
}

/** The bytes, or those from `from` to before `to`, as a binary string. */
export function bytesText(bytes: Uint8Array, from = 0, to = bytes.length): string {
  return latin1Slice.call(bytes, from, to)
}

// Node has it on Buffer and its types do not; a Buffer made only to call toString() would cost more than the text.
const { latin1Slice } = Buffer.prototype as unknown as {
  latin1Slice: (this: Uint8Array, from: number, to: number) => string
}

/** One register of one bank, extended in place. */
export interface ExtendChain {
  /**
   * H(value ‖ digest). Source: TPM 2.0 Part 3 r1.59 §22.2.
   * @returns the new value as a binary string
   * @throws RangeError for a digest that is not of the bank's length
   */
  extend(digest: Uint8Array): string
  /** A copy of the value. */
  value(): Uint8Array
}

/** @throws RangeError for a start that is not of the bank's length */
export function extendChain(alg: HashAlgorithm, start: Uint8Array): ExtendChain {
  return new Chain(alg, start)
}

/** A class, as a closure for each of a boot's many registers costs more than the extends of most. */
class Chain implements ExtendChain {
  readonly #alg: HashAlgorithm
  readonly #size: number
  /** Value, then digest. */
  readonly #state: Buffer

  constructor(alg: HashAlgorithm, start: Uint8Array) {
    this.#alg = alg
    this.#size = hashSize(alg)
    if (start.length !== this.#size) throw wrongSize(alg, start)
    this.#state = Buffer.allocUnsafe(2 * this.#size) // filled before it is read
    this.#state.set(start)
  }

  extend(digest: Uint8Array): string {
    if (digest.length !== this.#size) throw wrongSize(this.#alg, digest)
    this.#state.set(digest, this.#size)
    const value = hash(this.#alg, this.#state, 'binary')
    this.#state.write(value, 0, this.#size, 'latin1')
    return value
  }

  value(): Uint8Array {
    return new Uint8Array(this.#state.subarray(0, this.#size))
  }
}

function wrongSize(alg: HashAlgorithm, bytes: Uint8Array): RangeError {
  return new RangeError(`${bytes.length} bytes where a ${alg} value has ${hashSize(alg)}`)
}
