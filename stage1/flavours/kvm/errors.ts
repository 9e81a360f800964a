import { CodedError } from '../../../attestation/base/index.ts'

/**
 * Virtual machines that cannot be:
 * - POD_ACCEL_MISSING: hardware virtualisation was demanded, and this machine has none that works.
 * - POD_FIRMWARE_MISSING: a file that QEMU loads when it starts is not installed.
 */
export type KvmErrorCode = 'POD_ACCEL_MISSING' | 'POD_FIRMWARE_MISSING'

/** `hint` says what to do about it. */
export class KvmError extends CodedError<KvmErrorCode> {
  readonly hint: string
  constructor(code: KvmErrorCode, message: string, options: { hint: string }) {
    super(code, message)
    this.hint = options.hint
  }
}
