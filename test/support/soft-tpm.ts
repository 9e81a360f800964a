import { randomBytes } from 'node:crypto'
import type { HashAlgorithm } from '../../attestation/crypto/index.ts'
import { type PcrSelection, pcrIndex } from '../../attestation/tpm2/index.ts'

// To attack the verifier with; that real TPMs are understood is for the tests with swtpm.
export { newAk, type SoftAk, SoftTpm } from '../../attestation/simulator/index.ts'

/** Random bytes, as a TPM's or verifier's. */
export function random(size: number): Uint8Array {
  return new Uint8Array(randomBytes(size))
}

/** The selection that a verifier asks for: boot registers in SHA-256 and the log's register in every bank. */
export function selectionOf(banks: readonly HashAlgorithm[], pcr: number): PcrSelection[] {
  return banks.map((bank) => ({
    bank,
    pcrs: (bank === 'sha256' ? [0, 1, 2, 3, 4, 5, 6, 7, pcr] : [pcr]).map(pcrIndex),
  }))
}
