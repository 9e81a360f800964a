import { WireReader, WireWriter } from '../../../attestation/tpm2/index.ts'

/** Bytes with the u16 size of a TPM2B in front. */
export function sized(bytes: Uint8Array): Uint8Array {
  return new WireWriter().tpm2b(bytes).finish()
}

/**
 * The content of a TPM2B that fills its bytes.
 *
 * @throws WireError
 */
export function unsized(tpm2b: Uint8Array, structure: string): Uint8Array {
  const r = new WireReader(tpm2b, structure)
  const content = r.tpm2b(structure, 0xffff)
  r.end()
  return content
}

/** An empty TPM2B or an empty list. */
export const EMPTY_2B = new Uint8Array(2)
export const EMPTY_LIST = new Uint8Array(4)

/** TPMT_SIG_SCHEME TPM_ALG_NULL: the scheme of the key. */
export const SCHEME_OF_KEY = Uint8Array.of(0x00, 0x10)
