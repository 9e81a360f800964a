export { EvidenceFileError, type EvidenceFileErrorCode } from './errors.ts'
export {
  decodeEvidenceFile,
  type EvidenceFile,
  encodeEvidenceFile,
  looksLikeEvidenceFile,
  MAX_EVIDENCE_FILE_BYTES,
} from './evidence-file.ts'
