import { CodedError } from '../base/index.ts'

/**
 * EVIDENCE_EMPTY: nothing is in the file.
 * EVIDENCE_UNKNOWN: the bytes are neither an evidence file nor a log of a kind that is read here.
 */
export type EvidenceErrorCode = 'EVIDENCE_EMPTY' | 'EVIDENCE_UNKNOWN'
export class EvidenceError extends CodedError<EvidenceErrorCode> {}
