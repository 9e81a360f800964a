import type { Brand } from '../base/index.ts'
import { type HashAlgorithm, hashSize } from '../crypto/index.ts'

/** 0..23 on a PC Client TPM. */
export type PcrIndex = Brand<number, 'PcrIndex'>

/** @throws RangeError for anything but an integer in 0..23 */
export function pcrIndex(n: number): PcrIndex {
  if (!Number.isInteger(n) || n < 0 || n > 23) throw new RangeError(`PCR index ${n} is outside 0..23`)
  return n as PcrIndex // the check above is the constructor
}

/** A digest travels with its algorithm; `bytes` has hashSize(alg) bytes. */
export interface Digest {
  readonly alg: HashAlgorithm
  readonly bytes: Uint8Array
}

/** @throws RangeError when the length is not the algorithm's */
export function makeDigest(alg: HashAlgorithm, bytes: Uint8Array): Digest {
  if (bytes.length !== hashSize(alg)) {
    throw new RangeError(`a ${alg} digest has ${hashSize(alg)} bytes, got ${bytes.length}`)
  }
  return { alg, bytes }
}

/** Which registers of one bank (TPMS_PCR_SELECTION). `pcrs` is ascending and without repetition. */
export interface PcrSelection {
  readonly bank: HashAlgorithm
  readonly pcrs: readonly PcrIndex[]
}

/** The value of one register of one bank. */
export interface PcrValue {
  readonly bank: HashAlgorithm
  readonly pcr: PcrIndex
  readonly value: Uint8Array
}
