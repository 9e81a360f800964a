import { createPublicKey, type KeyObject } from 'node:crypto'
import { digest, type HashAlgorithm, hashSize } from '../crypto/index.ts'
import {
  type ClockInfo,
  encodeQuoteAttest,
  objectName,
  openCredential,
  type PcrSelection,
  type PcrValue,
  qualifiedName,
  TPM_RH_ENDORSEMENT,
} from '../tpm2/index.ts'
import { newKeys, type SoftAk, type SoftKeys } from './soft-keys.ts'

/**
 * Holds keys and registers as a TPM does, and, unlike one, signs whatever it is told to: simulated nodes and tests attack
 * the verifier with it. It protects nothing.
 */
export class SoftTpm {
  readonly ekPublic: Uint8Array
  readonly ekPrivate: KeyObject
  ak: SoftAk
  clock: ClockInfo = { clockMs: 100_000n, resetCount: 7, restartCount: 0, safe: true }
  readonly banks: readonly HashAlgorithm[]
  /** What is measured at each start before anything else. */
  firmware: (tpm: SoftTpm) => void = measureSomething
  /** What has been extended since the start; the others are zero. */
  readonly #registers = new Map<string, Uint8Array>()

  constructor(banks: readonly HashAlgorithm[] = ['sha256'], keys: SoftKeys = newKeys()) {
    this.banks = banks
    this.ekPrivate = keys.ek.privateKey
    this.ekPublic = keys.ek.public
    this.ak = keys.ak
    this.start()
  }

  /** SubjectPublicKeyInfo of the EK, for a certificate. */
  ekSpki(): Uint8Array {
    return new Uint8Array(createPublicKey(this.ekPrivate).export({ type: 'spki', format: 'der' }))
  }

  /** TPM Reset: registers to zero, counters on. The firmware then measures something. */
  reset(): void {
    this.clock = { ...this.clock, resetCount: this.clock.resetCount + 1, restartCount: 0 }
    this.start()
  }

  /** TPM2_Shutdown(STATE) and Startup(CLEAR): registers to zero, only restartCount on. */
  restart(): void {
    this.clock = { ...this.clock, restartCount: this.clock.restartCount + 1 }
    this.start()
  }

  start(): void {
    this.#registers.clear()
    this.firmware(this)
  }

  /** Extends every bank with its own hash of the data. */
  extend(pcr: number, data: Uint8Array): void {
    for (const bank of this.banks) {
      this.#registers.set(`${bank}:${pcr}`, digest(bank, this.register(bank, pcr), digest(bank, data)))
    }
  }

  register(bank: HashAlgorithm, pcr: number): Uint8Array {
    return this.#registers.get(`${bank}:${pcr}`) ?? new Uint8Array(hashSize(bank))
  }

  /** What TPM2_ActivateCredential gives back. */
  activate(credential: { idObject: Uint8Array; encryptedSecret: Uint8Array }): Uint8Array {
    return openCredential(this.ekPublic, this.ekPrivate, this.ak.name, credential)
  }

  values(selection: readonly PcrSelection[]): PcrValue[] {
    return selection.flatMap(({ bank, pcrs }) => pcrs.map((pcr) => ({ bank, pcr, value: this.register(bank, pcr) })))
  }

  /** TPM2_Quote, over these values rather than the registers where told so. The clock goes on by a second. */
  quote(
    extraData: Uint8Array,
    selection: readonly PcrSelection[],
    values: readonly PcrValue[] = this.values(selection),
  ): { attest: Uint8Array; signature: Uint8Array } {
    this.clock = { ...this.clock, clockMs: this.clock.clockMs + 1000n }
    const attest = encodeQuoteAttest({
      qualifiedSigner: qualifiedName(
        { qualifiedName: qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, objectName(this.ekPublic)) },
        this.ak.name,
      ),
      extraData,
      clockInfo: this.clock,
      firmwareVersion: 0x2019_1023_0016_3636n,
      pcrSelections: selection,
      pcrDigest: digest('sha256', ...values.map((v) => v.value)),
    })
    return { attest, signature: this.ak.sign(attest) }
  }
}

/** Firmware of which no log is kept. */
function measureSomething(tpm: SoftTpm): void {
  for (let pcr = 0; pcr < 8; pcr++) tpm.extend(pcr, new TextEncoder().encode(`firmware ${pcr}`))
}
