export {
  appraiseBoot,
  type BootAppraisal,
  type BootInput,
  firmwareLogEvents,
  type LaterPiece,
  quotedRegisters,
} from './appraise-boot.ts'
export { type BootEvent, type BootLog, bootLog } from './boot-log.ts'
export type {
  Authority,
  BootFacts,
  BootImage,
  BootOption,
  CommandLine,
  CommandLineWriter,
  DigestTexts,
  Fact,
  FirmwareBlob,
  KeyEntry,
  KeyList,
  MeasuredFile,
  SecureBootFacts,
  ShimFacts,
  WindowsFact,
} from './facts.ts'
export type { ExitBootServices } from './handover-rules.ts'
export {
  type LaterLog,
  loggedLocality,
  type QuotedRegisters,
  type RegisterOutcome,
  type ReplayInput,
  replayBoot,
} from './replay-boot.ts'
export type { BootState, LogMark, RegisterState } from './state.ts'
