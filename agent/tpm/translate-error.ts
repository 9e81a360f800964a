import { WireError } from '../../attestation/tpm2/index.ts'
import { TssError, type TssErrorCode } from '../../native/tss/index.ts'
import { TpmError, type TpmErrorCode } from './tpm-error.ts'

const TPM_CODES: Readonly<Record<TssErrorCode, TpmErrorCode>> = {
  TSS_FFI_UNAVAILABLE: 'TPM_LIBRARY_MISSING',
  TSS_LIBRARY_MISSING: 'TPM_LIBRARY_MISSING',
  TSS_CLOSED: 'TPM_CLOSED',
  TSS_NO_TPM: 'TPM_GONE',
  TSS_NOT_STARTED: 'TPM_RESTARTED', // it was started when it was opened
  TSS_BAD_RESPONSE: 'TPM_BAD_RESPONSE',
  TSS_TAMPERED: 'TPM_TAMPERED',
  TSS_SESSION_LOST: 'TPM_RESTARTED',
  TSS_BAD_HANDLE: 'TPM_REFUSED',
  TSS_AUTH_FAILED: 'TPM_REFUSED',
  TSS_LOCKOUT: 'TPM_REFUSED',
  TSS_BUSY: 'TPM_BUSY',
  TSS_NO_ROOM: 'TPM_BUSY',
  TSS_BAD_VALUE: 'TPM_REFUSED',
  TSS_COMMAND_FAILED: 'TPM_REFUSED',
}

/** The border where errors of native/tss become the agent's. */
export async function translate<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof WireError) {
      throw new TpmError('TPM_BAD_RESPONSE', `the TPM's answer cannot be read: ${cause.message}`, { cause })
    }
    if (cause instanceof TssError) throw new TpmError(TPM_CODES[cause.code], cause.message, { cause, rc: cause.rc })
    throw cause
  }
}
