import { utf8 } from '../base/index.ts'

/** A witness's statement about a checkpoint, taken apart. */
export interface Cosignature {
  /** Seconds since 1970 by the witness's clock, below 2^63. */
  readonly timeSeconds: bigint
  /** 64 bytes of Ed25519. */
  readonly signature: Uint8Array
}

const TIME_BYTES = 8
const SIGNATURE_BYTES = 64
const TIME_LIMIT = 1n << 63n

/**
 * timestamped_signature of an Ed25519 cosigner: time, big-endian, and signature. Source: C2SP tlog-cosignature, Format.
 *
 * @returns undefined for another length, or a time that no cosigner may claim
 */
export function splitCosignature(bytes: Uint8Array): Cosignature | undefined {
  if (bytes.length !== TIME_BYTES + SIGNATURE_BYTES) return undefined
  const timeSeconds = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getBigUint64(0)
  return timeSeconds < TIME_LIMIT ? { timeSeconds, signature: bytes.subarray(TIME_BYTES) } : undefined
}

/**
 * What an Ed25519 cosigner signs: two lines, which no checkpoint begins with, before the checkpoint's text.
 * Source: C2SP tlog-cosignature, Ed25519 signed message.
 */
export function cosignedMessage(timeSeconds: bigint, text: string): Uint8Array {
  return utf8(`cosignature/v1\ntime ${timeSeconds}\n${text}`)
}
