import { MAX_DIGEST_BYTES } from './constants.ts'
import { limitInput, WireReader, WireWriter } from './wire.ts'

/** What a TPM returns or takes in one list: TPM2_PCR_Read's answer, TPM2_PolicyOR's branches. */
const MAX_DIGESTS = 8

/**
 * TPML_DIGEST. Source: TPM 2.0 Part 2 r1.59 §10.9.2.
 *
 * @throws WireError
 */
export function decodeDigestList(bytes: Uint8Array): readonly Uint8Array[] {
  limitInput(bytes, 'TPML_DIGEST', 4 + MAX_DIGESTS * (2 + MAX_DIGEST_BYTES))
  const r = new WireReader(bytes, 'TPML_DIGEST')
  const count = r.count('count', MAX_DIGESTS)
  const digests: Uint8Array[] = []
  for (let i = 0; i < count; i++) digests.push(r.tpm2b(`digests[${i}]`, MAX_DIGEST_BYTES))
  r.end()
  return digests
}

/** @throws RangeError for more than 8 digests */
export function encodeDigestList(digests: readonly Uint8Array[]): Uint8Array {
  if (digests.length > MAX_DIGESTS) throw new RangeError(`${digests.length} digests, at most ${MAX_DIGESTS}`)
  const w = new WireWriter().u32(digests.length)
  for (const d of digests) w.tpm2b(d)
  return w.finish()
}
