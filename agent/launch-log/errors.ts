import { CodedError } from '../../attestation/base/index.ts'

/**
 * LAUNCH_LOG_LOCKED: another agent owns this data directory.
 * LAUNCH_LOG_CORRUPT: the log of this boot cannot be read where it must be, so nothing can be appended to it.
 * LAUNCH_LOG_STORAGE: the disk refused to read or write (full, broken, read-only). Nothing was measured.
 * LAUNCH_LOG_UNSETTLED: the TPM did not answer while a record was being extended; what came of it is settled before the next one.
 * LAUNCH_LOG_REGISTER_MISMATCH: the register does not hold what the log replays to: somebody else extended it.
 * LAUNCH_LOG_TPM_RESTARTING: the TPM was reset again and again while the log was being opened.
 * LAUNCH_LOG_BANKS: the TPM has other banks allocated than the log or the configuration says.
 * LAUNCH_LOG_CLOSED: the agent is stopping.
 */
export type LaunchLogErrorCode =
  | 'LAUNCH_LOG_LOCKED'
  | 'LAUNCH_LOG_CORRUPT'
  | 'LAUNCH_LOG_STORAGE'
  | 'LAUNCH_LOG_UNSETTLED'
  | 'LAUNCH_LOG_REGISTER_MISMATCH'
  | 'LAUNCH_LOG_TPM_RESTARTING'
  | 'LAUNCH_LOG_BANKS'
  | 'LAUNCH_LOG_CLOSED'
export class LaunchLogError extends CodedError<LaunchLogErrorCode> {}
