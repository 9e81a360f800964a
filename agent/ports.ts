import type { HashAlgorithm } from '../attestation/crypto/index.ts'
import type { Digest, PcrIndex, PcrSelection, PcrValue } from '../attestation/tpm2/index.ts'

/** TPMS_CLOCK_INFO as TPM2_ReadClock gave it (TPM 2.0 Part 2 r1.59 §10.11.1). Not signed: for bookkeeping, not for proof. */
export interface ClockReading {
  readonly clockMs: bigint
  readonly resetCount: number
  readonly restartCount: number
  readonly safe: boolean
}

/** What the TPM says of itself. */
export interface TpmDescription {
  /** Four characters of TPM_PT_MANUFACTURER, e.g. 'IBM ' or 'INTC'. */
  readonly manufacturer: string
  readonly firmwareVersion: bigint
  /** Banks with at least one register allocated, in the TPM's own order. */
  readonly banks: readonly HashAlgorithm[]
}

/** The endorsement key and attestation key of this node, as bytes a verifier can judge. */
export interface TpmIdentity {
  /** TPMT_PUBLIC of the EK whose certificate is in `ekCertificate`, or of the best EK where there is none. */
  readonly ekPublic: Uint8Array
  /** DER, cut to its own length; absent where NV holds none. */
  readonly ekCertificate?: Uint8Array
  /** DER certificates of the chain NV range (0x01C00100 and up), in NV order; may be empty. */
  readonly ekChain: readonly Uint8Array[]
  /** As NV has it (0x01C08000), cut to its own length: an X.509 or an attribute certificate. */
  readonly platformCertificate?: Uint8Array
  /** TPMT_PUBLIC of the AK. */
  readonly akPublic: Uint8Array
}

/** TPMS_ATTEST and TPMT_SIGNATURE as the TPM marshalled them, without a TPM2B size in front. */
export interface QuoteBytes {
  readonly attest: Uint8Array
  readonly signature: Uint8Array
}

/**
 * The node's TPM as the agent needs it. Every call either settles within its deadline or rejects with a coded TpmError;
 * the TPM process behind it may be killed and started anew in between.
 */
export interface Tpm {
  describe(): Promise<TpmDescription>
  readClock(): Promise<ClockReading>
  /** One consistent snapshot: all values are from the same pcrUpdateCounter. */
  readPcrs(selection: readonly PcrSelection[]): Promise<readonly PcrValue[]>
  /** TPM2_PCR_Extend with one digest for each bank given. */
  extend(pcr: PcrIndex, digests: readonly Digest[]): Promise<void>
  /** Finds the EK and its certificate, finds or creates and persists the AK. Idempotent. */
  provisionIdentity(): Promise<TpmIdentity>
  /** TPM2_ActivateCredential: TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET in wire form give the secret. */
  activateCredential(idObject: Uint8Array, encryptedSecret: Uint8Array): Promise<Uint8Array>
  /** TPM2_Quote by the AK. */
  quote(extraData: Uint8Array, selection: readonly PcrSelection[]): Promise<QuoteBytes>
  close(): Promise<void>
}

/** Wall clock, injected so that expiry and back-off are tested without waiting. */
export interface Clock {
  now(): Date
}
