import type { HashAlgorithm } from '../../crypto/index.ts'
import type { EventDigests } from '../event.ts'

/** One record of a TCG firmware log, as claimed. */
export interface FirmwareEvent {
  /** Position in the log, from 0; the Spec ID event counts. */
  readonly index: number
  /** Offset of its first byte in the log. */
  readonly offset: number
  /** PCR, or measurement register index in a CCEL. */
  readonly register: number
  /** TCG event type, 32 bits. */
  readonly type: number
  readonly digests: EventDigests
  /** View of the log. */
  readonly data: Uint8Array
}

/** A digest algorithm that the Spec ID event lists. `bank` is absent for one that is not known here (SM3). */
export interface FirmwareLogAlgorithm {
  readonly id: number
  readonly size: number
  readonly bank?: HashAlgorithm
}

/** A TCG firmware log, PC Client Platform Firmware Profile r1.06 §10. Read, not believed. */
export interface FirmwareLog {
  /** `sha1`: no Spec ID event, every record in the TPM 1.2 form. */
  readonly format: 'sha1' | 'crypto-agile'
  /**
   * What `FirmwareEvent.register` counts: PCRs, or the measurement registers of a TDX guest (CCEL; 0 is MRTD, 1 to 4
   * are RTMR 0 to 3).
   */
  readonly registers: 'pcr' | 'rtmr'
  readonly algorithms: readonly FirmwareLogAlgorithm[]
  readonly events: readonly FirmwareEvent[]
  /** Bytes of fill (0xFF or 0x00) behind the last event. */
  readonly padding: number
}
