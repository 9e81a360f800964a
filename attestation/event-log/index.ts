export type {
  AgentRecord,
  BankValues,
  BreakRecord,
  DeniedRecord,
  ExitedRecord,
  ImageRecord,
  LaunchLogContent,
  LaunchRecord,
  PodRecord,
  Stage1Record,
} from './launch-log.ts'
export { CEL_CONTENT_HOLDFAST, LAUNCH_LOG_VERSION } from './launch-log.ts'
