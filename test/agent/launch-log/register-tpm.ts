import type { Tpm } from '../../../agent/ports.ts'
import { concatBytes } from '../../../attestation/base/index.ts'
import { digest, type HashAlgorithm, hashSize } from '../../../attestation/crypto/index.ts'
import type { Digest, PcrValue } from '../../../attestation/tpm2/index.ts'
import { Steps } from './faulty-storage.ts'

/**
 * One register of a TPM, which outlives the agents that use it, and may be stopped between command and answer as disks
 * may.
 */
export class RegisterTpm {
  readonly banks: readonly HashAlgorithm[]
  start = { resetCount: 3, restartCount: 1 }
  /** Extends so far. */
  extends = 0
  readonly #values = new Map<HashAlgorithm, Uint8Array>()

  constructor(banks: readonly HashAlgorithm[]) {
    this.banks = banks
    this.reset()
  }

  reset(): void {
    this.start = { resetCount: this.start.resetCount + 1, restartCount: 0 }
    for (const bank of this.banks) this.#values.set(bank, new Uint8Array(hashSize(bank)))
  }

  /** What somebody else does. */
  extendDirectly(digests: readonly Digest[]): void {
    this.extends++
    for (const d of digests) {
      this.#values.set(d.alg, digest(d.alg, concatBytes(this.value(d.alg), d.bytes)))
    }
  }

  value(bank: HashAlgorithm): Uint8Array {
    return this.#values.get(bank) ?? new Uint8Array(0)
  }

  /** The TPM as an agent uses it. */
  port(steps: Steps = new Steps()): Pick<Tpm, 'readClock' | 'readPcrs' | 'extend'> {
    return {
      readClock: async () => ({ clockMs: 0n, safe: true, ...this.start }),
      readPcrs: async (selection) =>
        selection.flatMap(({ bank, pcrs }) => pcrs.map((pcr): PcrValue => ({ bank, pcr, value: this.value(bank) }))),
      // An extend is atomic in the TPM: 'half' is a command that was carried out and whose answer was lost.
      extend: (_pcr, digests) => steps.step(() => this.extendDirectly(digests)),
    }
  }
}
