import { CodedError } from '../../attestation/base/index.ts'

/**
 * Why a call into tpm2-tss failed.
 * - TSS_FFI_UNAVAILABLE: neither ffi-napi nor koffi can be loaded, or not the one that was asked for.
 * - TSS_LIBRARY_MISSING: a shared library or a function in it is not there; the message names the package.
 * - TSS_CLOSED: the context was closed before or during the call.
 * - TSS_NO_TPM: the transport could not be opened, or the TPM behind it is gone. The context is of no more use.
 * - TSS_NOT_STARTED: the TPM waits for TPM2_Startup.
 * - TSS_BAD_RESPONSE: the answer is not well-formed, or its HMAC is wrong.
 * - TSS_TAMPERED: a command or its answer was changed between this program and the TPM, or is of another one.
 * - TSS_SESSION_LOST: the TPM does not know the session any more: it was restarted, or somebody flushed it.
 * - TSS_BAD_HANDLE: the TPM has nothing at this handle.
 * - TSS_AUTH_FAILED: authorization value or policy is wrong.
 * - TSS_LOCKOUT: the TPM is in dictionary attack lockout.
 * - TSS_BUSY: the TPM asks to try later (after the retries that ESYS makes by itself).
 * - TSS_NO_ROOM: no free object, session or memory slot in the TPM.
 * - TSS_BAD_VALUE: the TPM or the stack refuses a value, size, attribute or scheme.
 * - TSS_COMMAND_FAILED: every other return code.
 */
export type TssErrorCode =
  | 'TSS_FFI_UNAVAILABLE'
  | 'TSS_LIBRARY_MISSING'
  | 'TSS_CLOSED'
  | 'TSS_NO_TPM'
  | 'TSS_NOT_STARTED'
  | 'TSS_BAD_RESPONSE'
  | 'TSS_TAMPERED'
  | 'TSS_SESSION_LOST'
  | 'TSS_BAD_HANDLE'
  | 'TSS_AUTH_FAILED'
  | 'TSS_LOCKOUT'
  | 'TSS_BUSY'
  | 'TSS_NO_ROOM'
  | 'TSS_BAD_VALUE'
  | 'TSS_COMMAND_FAILED'

/** Part of the stack that made a return code. */
export type TssLayer = 'tpm' | 'feature' | 'esys' | 'sys' | 'mu' | 'tcti' | 'resmgr' | 'resmgr-tpm' | 'unknown'

/** A failed call into tpm2-tss; `rc` is absent where no return code was had. */
export class TssError extends CodedError<TssErrorCode> {
  readonly rc: number | undefined
  constructor(code: TssErrorCode, message: string, options?: { cause?: unknown; rc?: number }) {
    super(code, message, options)
    this.rc = options?.rc
  }
}

const LAYERS: readonly (TssLayer | undefined)[] = [
  'tpm',
  undefined,
  undefined,
  undefined,
  undefined,
  undefined,
  'feature',
  'esys',
  'sys',
  'mu',
  'tcti',
  'resmgr',
  'resmgr-tpm',
]

/** @returns the layer in bits 16 to 23 of a return code (TSS 2.0 Overview and Common Structures, §3.1) */
export function layerOf(rc: number): TssLayer {
  return LAYERS[(rc >>> 16) & 0xff] ?? 'unknown'
}

/** Makes the error for a return code. `text` is what Tss2_RC_Decode says of it. */
export function tssErrorFromRc(fn: string, rc: number, text: string): TssError {
  const code = codeForRc(rc)
  const hint = HINTS[code]
  const message = `${fn} failed with 0x${rc.toString(16).padStart(8, '0')} (${text})${hint === undefined ? '' : `: ${hint}`}`
  return new TssError(code, message, { rc })
}

const HINTS: Readonly<Partial<Record<TssErrorCode, string>>> = {
  TSS_NO_TPM: 'check that the TPM or its simulator runs and that the TCTI setting names it',
  TSS_LOCKOUT:
    'wait for the lockout recovery time, or reset it with the lockout authorization (tpm2_dictionarylockout -c)',
  TSS_BUSY: 'the TPM asks to try again later',
}

/** @returns the stable code for a return code; TPM codes as in TPM 2.0 Part 2 r1.59 §6.6.3 */
export function codeForRc(rc: number): TssErrorCode {
  const low = rc & 0xffff
  switch (layerOf(rc)) {
    case 'tpm':
    case 'resmgr-tpm':
      return codeForTpmRc(low)
    case 'resmgr': // the kernel's resource manager puts its answers for the TPM here
      return codeForTpmRc(low)
    case 'tcti':
      return low === 11 || low === 1 || low === 8 || low === 10 || low === 7 ? 'TSS_NO_TPM' : 'TSS_BAD_RESPONSE'
    case 'mu':
      return 'TSS_BAD_RESPONSE' // what goes in is checked before: this is about what came back
    case 'esys':
    case 'sys':
      return STACK_CODES[low] ?? 'TSS_COMMAND_FAILED'
    default:
      return 'TSS_COMMAND_FAILED'
  }
}

const STACK_CODES: Readonly<Record<number, TssErrorCode>> = {
  7: 'TSS_NO_TPM', // bad sequence: what every call gives once the transport has failed in the middle of another
  8: 'TSS_NO_TPM',
  10: 'TSS_NO_TPM',
  11: 'TSS_BAD_VALUE',
  16: 'TSS_BAD_VALUE',
  17: 'TSS_BAD_RESPONSE',
  19: 'TSS_BAD_RESPONSE',
  24: 'TSS_BAD_HANDLE',
  27: 'TSS_BAD_RESPONSE',
}

function codeForTpmRc(low: number): TssErrorCode {
  if ((low & 0x080) !== 0) return FORMAT_ONE[low & 0x03f] ?? 'TSS_COMMAND_FAILED'
  if (low === 0x100) return 'TSS_NOT_STARTED'
  if ((low & 0x800) === 0) return low === 0x12f ? 'TSS_AUTH_FAILED' : 'TSS_COMMAND_FAILED' // 0x12f: AUTH_UNAVAILABLE
  const warning = low & 0x07f
  if (warning >= 0x10 && warning <= 0x16) return 'TSS_BAD_HANDLE' // REFERENCE_H0 to H6
  if (warning >= 0x18 && warning <= 0x1e) return 'TSS_SESSION_LOST' // REFERENCE_S0 to S6
  return WARNINGS[warning] ?? 'TSS_COMMAND_FAILED'
}

const FORMAT_ONE: Readonly<Record<number, TssErrorCode>> = {
  2: 'TSS_BAD_VALUE', // ATTRIBUTES
  3: 'TSS_BAD_VALUE', // HASH
  4: 'TSS_BAD_VALUE', // VALUE
  10: 'TSS_BAD_VALUE', // TYPE
  11: 'TSS_BAD_HANDLE', // HANDLE
  14: 'TSS_AUTH_FAILED', // AUTH_FAIL
  18: 'TSS_BAD_VALUE', // SCHEME
  21: 'TSS_BAD_VALUE', // SIZE
  22: 'TSS_BAD_VALUE', // SYMMETRIC
  23: 'TSS_BAD_VALUE', // TAG
  24: 'TSS_BAD_VALUE', // SELECTOR
  26: 'TSS_BAD_VALUE', // INSUFFICIENT
  27: 'TSS_BAD_VALUE', // SIGNATURE
  29: 'TSS_AUTH_FAILED', // POLICY_FAIL
  31: 'TSS_BAD_VALUE', // INTEGRITY
  34: 'TSS_AUTH_FAILED', // BAD_AUTH
  38: 'TSS_BAD_VALUE', // CURVE
}

const WARNINGS: Readonly<Record<number, TssErrorCode>> = {
  1: 'TSS_NO_ROOM', // CONTEXT_GAP
  2: 'TSS_NO_ROOM', // OBJECT_MEMORY
  3: 'TSS_NO_ROOM', // SESSION_MEMORY
  4: 'TSS_NO_ROOM', // MEMORY
  5: 'TSS_NO_ROOM', // SESSION_HANDLES
  6: 'TSS_NO_ROOM', // OBJECT_HANDLES
  8: 'TSS_BUSY', // YIELDED
  10: 'TSS_BUSY', // TESTING
  32: 'TSS_BUSY', // NV_RATE
  33: 'TSS_LOCKOUT',
  34: 'TSS_BUSY', // RETRY
  35: 'TSS_BUSY', // NV_UNAVAILABLE
}
