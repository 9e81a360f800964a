import { CodedError } from '../base/index.ts'

/**
 * EVIDENCE_FILE_TOO_LARGE: longer than any machine's logs.
 * EVIDENCE_FILE_INVALID: not an evidence file, or of a form that this version does not read.
 */
export type EvidenceFileErrorCode = 'EVIDENCE_FILE_TOO_LARGE' | 'EVIDENCE_FILE_INVALID'
export class EvidenceFileError extends CodedError<EvidenceFileErrorCode> {}
