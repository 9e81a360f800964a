import { concatBytes, utf8 } from '../base/index.ts'
import { digest, type HashAlgorithm, hashSize, hmac } from '../crypto/index.ts'

/** Enough for any key of a TPM; a larger request is a mistake. */
const MAX_BITS = 4096
const NUL = Uint8Array.of(0)

/**
 * KDFa: SP 800-108 in counter mode with HMAC.
 * Source: TPM 2.0 Part 1 r1.59 §11.4.10.2.
 *
 * @param label ASCII; its terminating NUL is added here
 * @returns bits/8 bytes, rounded up, excess high bits cleared
 * @throws RangeError for bits outside 1..4096 or a label with a NUL
 */
export function kdfa(
  hash: HashAlgorithm,
  key: Uint8Array,
  label: string,
  contextU: Uint8Array,
  contextV: Uint8Array,
  bits: number,
): Uint8Array {
  const fixed = concatBytes(labelBytes(label), contextU, contextV, u32(bits))
  return derive(hash, bits, (counter) => hmac(hash, key, counter, fixed))
}

/**
 * KDFe: the one-step key derivation of SP 800-56A with a hash.
 * Source: TPM 2.0 Part 1 r1.59 §11.4.10.3.
 *
 * @param z x coordinate of the shared point, as long as the curve's field
 * @param partyU,partyV x coordinates of the ephemeral and the static public key, as long as the curve's field
 */
export function kdfe(
  hash: HashAlgorithm,
  z: Uint8Array,
  label: string,
  partyU: Uint8Array,
  partyV: Uint8Array,
  bits: number,
): Uint8Array {
  const use = labelBytes(label)
  return derive(hash, bits, (counter) => digest(hash, counter, z, use, partyU, partyV))
}

function derive(hash: HashAlgorithm, bits: number, block: (counter: Uint8Array) => Uint8Array): Uint8Array {
  if (!Number.isInteger(bits) || bits < 1 || bits > MAX_BITS)
    throw new RangeError(`${bits} bits, wanted 1..${MAX_BITS}`)
  const out = new Uint8Array(Math.ceil(bits / 8))
  const step = hashSize(hash)
  for (let at = 0, counter = 1; at < out.length; at += step, counter++) {
    out.set(block(u32(counter)).subarray(0, out.length - at), at)
  }
  if (bits % 8 !== 0) out[0] = (out[0] as number) & ((1 << (bits % 8)) - 1) // out has a byte: bits >= 1
  return out
}

function labelBytes(label: string): Uint8Array {
  if (label.includes('\0')) throw new RangeError('the label has a NUL of its own')
  return concatBytes(utf8(label), NUL)
}

function u32(value: number): Uint8Array {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setUint32(0, value)
  return out
}
