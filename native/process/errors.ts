import { CodedError } from '../../attestation/base/index.ts'

/**
 * PROCESS_FFI_UNAVAILABLE: neither koffi nor ffi-napi can be loaded here.
 * PROCESS_EXEC_FAILED: the kernel refused the program; this process goes on unchanged.
 * PROCESS_LOCK_HELD: somebody else holds a lock that does not go with the one asked for.
 * PROCESS_CALL_FAILED: another system call failed; the message names it and the errno.
 */
export type ProcessErrorCode =
  | 'PROCESS_FFI_UNAVAILABLE'
  | 'PROCESS_EXEC_FAILED'
  | 'PROCESS_LOCK_HELD'
  | 'PROCESS_CALL_FAILED'
export class ProcessError extends CodedError<ProcessErrorCode> {}
