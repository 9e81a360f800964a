import * as crypto from 'node:crypto'
import type { HashAlgorithm } from './hash.ts'

/** Bytes that digestInto() can write into; a plain Uint8Array cannot take latin1 text. */
export type DigestBuffer = Buffer

/** Zeroed bytes for digestInto(). */
export function digestBuffer(sizeBytes: number): DigestBuffer {
  return Buffer.alloc(sizeBytes)
}

/**
 * Writes the digest of `input` into `output`: two to three times as fast as digest() for short input. Asking the platform for a
 * Buffer costs an allocation that is dearer than the hash; a latin1 string of the digest's bytes does not. `input` may be `output`.
 */
export function digestInto(alg: HashAlgorithm, input: Uint8Array, output: DigestBuffer, at: number): void {
  output.write(oneShot(alg, input), at, 'latin1')
}

/** Reads bytes from one offset to another as a binary string, one character for each byte, without a view for each. */
export type BinaryText = (from: number, to: number) => string

export function binaryText(bytes: Uint8Array): BinaryText {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return (from, to) => buffer.toString('latin1', from, to)
}

/** Node's other name for latin1, and the one that its types know here. */
const LATIN1 = 'binary'

type OneShot = (alg: HashAlgorithm, input: Uint8Array) => string

const byHash: OneShot = (alg, input) => crypto.createHash(alg).update(input).digest(LATIN1)
const byOneShot: OneShot = (alg, input) => crypto.hash(alg, input, LATIN1)

/** crypto.hash() is of Node 20.12 and "release candidate" there: used if it is present and agrees with createHash(). */
function chooseOneShot(): OneShot {
  if (typeof crypto.hash !== 'function') return byHash
  const probe = Buffer.from([0x00, 0x7f, 0x80, 0xff]) // bytes that an encoding in between would change
  const agrees = (['sha1', 'sha256', 'sha384', 'sha512'] as const).every(
    (a) => byOneShot(a, probe) === byHash(a, probe),
  )
  return agrees ? byOneShot : byHash
}

const oneShot = chooseOneShot()
