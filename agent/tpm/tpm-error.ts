import { CodedError } from '../../attestation/base/index.ts'

/**
 * Why the agent's TPM did not do what it was asked, one sentence each.
 * After TPM_TIMEOUT, TPM_GONE, TPM_BAD_RESPONSE, TPM_TAMPERED and TPM_PROCESS_FAILED nobody knows whether the command was carried out: read the
 * register before extending again.
 */
export const TPM_ERRORS = {
  TPM_TIMEOUT: 'The TPM did not answer within the deadline; its process was killed.',
  TPM_GONE: 'The TPM cannot be reached, or vanished during the call.',
  TPM_RESTARTED:
    'The TPM was reset or restarted: its registers are new. readClock() shows the new counters and lets calls through again.',
  TPM_LIBRARY_MISSING: 'tpm2-tss or the foreign function interface is not installed.',
  TPM_BAD_RESPONSE: 'The answer is not well-formed.',
  TPM_TAMPERED: 'A command or its answer was changed on the way between this program and the TPM.',
  TPM_REFUSED: 'The TPM refused the command; the message has its return code.',
  TPM_BUSY: 'The TPM asks to try again later.',
  TPM_EK_MISMATCH: 'There are EK certificates, but no key of this TPM is the one of any of them.',
  TPM_NO_EK: 'This TPM can make none of the endorsement keys known here.',
  TPM_NO_AK: 'No handle is left for the attestation key, or it cannot be made.',
  TPM_PROCESS_FAILED: 'The process that talks to the TPM ended, or said something unintelligible.',
  TPM_CLOSED: 'The TPM was closed.',
} as const satisfies Record<string, string>

export type TpmErrorCode = keyof typeof TPM_ERRORS

/** A TPM call of the agent that failed. `rc` is the TPM or tpm2-tss return code where there was one. */
export class TpmError extends CodedError<TpmErrorCode> {
  readonly rc: number | undefined
  constructor(code: TpmErrorCode, message: string, options?: { cause?: unknown; rc?: number | undefined }) {
    super(code, message, options)
    this.rc = options?.rc
  }
}
