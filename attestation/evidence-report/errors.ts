import { CodedError } from '../base/index.ts'

/**
 * EVIDENCE_EMPTY: nothing is in the file.
 * EVIDENCE_UNKNOWN: the bytes are neither an evidence file nor a log of a kind that is read here.
 * EVIDENCE_NO_LOG: the log that was asked for is not in the file, or has no entry.
 * EVIDENCE_NO_CEL: a canonical event log has no form for this log.
 */
export type EvidenceErrorCode = 'EVIDENCE_EMPTY' | 'EVIDENCE_UNKNOWN' | 'EVIDENCE_NO_LOG' | 'EVIDENCE_NO_CEL'
export class EvidenceError extends CodedError<EvidenceErrorCode> {}
