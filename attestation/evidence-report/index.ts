export { evidenceContents, type LogContents } from './contents.ts'
export { convertToCel } from './convert.ts'
export { EvidenceError, type EvidenceErrorCode } from './errors.ts'
export { type Examined, examineEvidence } from './examine.ts'
export { describeKind, type EvidenceKind, type OpenedEvidence, openEvidence } from './open.ts'
export { COLOURED, type Paint, PLAIN } from './paint.ts'
export { type JudgedQuote, judgeQuote } from './quote-rules.ts'
export type { RegisterRow } from './register-table.ts'
export {
  describeResult,
  type OpenedResult,
  type ResultSignature,
  resultJson,
  resultText,
  uncheckedSignature,
} from './result-text.ts'
export { showJson } from './show-json.ts'
export { parseRegister, type ShowOptions, showText } from './show-text.ts'
export { type EventOptions, type ShownEvidence, shownEvidence } from './shown.ts'
export type { SummaryLine } from './summary.ts'
export { type Unproved, type Verification, type VerifyTerms, verifyEvidenceFile } from './verify.ts'
export { verifyEar, verifyJson, verifyText } from './verify-text.ts'
