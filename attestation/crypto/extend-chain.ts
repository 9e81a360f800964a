import { type HashAlgorithm, hashSize } from './hash.ts'
import { type DigestBuffer, digestBuffer, digestText } from './one-shot.ts'

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
  readonly #state: DigestBuffer

  constructor(alg: HashAlgorithm, start: Uint8Array) {
    this.#alg = alg
    this.#size = hashSize(alg)
    if (start.length !== this.#size) throw wrongSize(alg, start)
    this.#state = digestBuffer(2 * this.#size)
    this.#state.set(start)
  }

  extend(digest: Uint8Array): string {
    if (digest.length !== this.#size) throw wrongSize(this.#alg, digest)
    this.#state.set(digest, this.#size)
    const value = digestText(this.#alg, this.#state)
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
