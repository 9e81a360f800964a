import { hash } from 'node:crypto'
import { type HashAlgorithm, hashSize } from './hash.ts'

// Asking Node for a digest as bytes allocates an ArrayBuffer, which costs more than the hash of a short message. As a binary string (one
// character for each byte) it costs half, and it compares with `===`. The input is always bytes: text would be hashed as UTF-8.

/** Digest as a binary string, for comparing with `bytesText`. */
export function digestText(alg: HashAlgorithm, bytes: Uint8Array): string {
  return hash(alg, bytes, 'binary')
}

/** The bytes as a binary string. */
export function bytesText(bytes: Uint8Array): string {
  return latin1Slice.call(bytes, 0, bytes.length)
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
  readonly extend: (digest: Uint8Array) => string
  /** A copy of the value. */
  readonly value: () => Uint8Array
}

/** @throws RangeError for a start that is not of the bank's length */
export function extendChain(alg: HashAlgorithm, start: Uint8Array): ExtendChain {
  const size = hashSize(alg)
  if (start.length !== size) throw wrongSize(alg, start)
  const state = Buffer.allocUnsafe(2 * size) // filled before it is read
  state.set(start)
  return {
    extend: (digest) => {
      if (digest.length !== size) throw wrongSize(alg, digest)
      state.set(digest, size)
      const value = hash(alg, state, 'binary')
      state.write(value, 0, size, 'latin1')
      return value
    },
    value: () => new Uint8Array(state.subarray(0, size)),
  }
}

function wrongSize(alg: HashAlgorithm, bytes: Uint8Array): RangeError {
  return new RangeError(`${bytes.length} bytes where a ${alg} value has ${hashSize(alg)}`)
}
