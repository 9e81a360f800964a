export { type AaelEvent, type AaelLog, aaelEvents, readAael } from './aael/aael.ts'
export {
  CEL_ALG,
  CEL_CONTENT,
  CEL_CONTENT_HOLDFAST,
  type CelDigest,
  type CelIndex,
  type CelRecord,
  celBank,
  decodeCelRecord,
  encodeCelRecord,
  MAX_CONTENT_BYTES,
} from './cel/cel.ts'
export { type CelEncoding, type CelLog, celEncoding, decodeCelAny } from './cel/cel-any.ts'
export { decodeCelCbor, encodeCelCbor } from './cel/cel-cbor.ts'
export { encodeCelJson, toCelJson } from './cel/cel-json.ts'
export type { CelJsonBytes } from './cel/cel-json-content.ts'
export { type CelJsonOptions, celRecordFromJson, decodeCelJson } from './cel/cel-json-read.ts'
export {
  celCoverage,
  checkContentDigests,
  checkContentForm,
} from './cel/content.ts'
export { firmwareCelRecords, imaCelRecords, systemdCelRecords, type UnnumberedCelRecord } from './cel/convert.ts'
export { celEvents } from './cel/describe.ts'
export type { CelNumbering } from './cel/numbering.ts'
export { type ReplayedRecord, type ReplayState, replayRecords, replayStart } from './cel/replay.ts'
export {
  type CelContent,
  type CelManagement,
  type CelSystemd,
  decodeCelContent,
  encodeCelContent,
} from './cel/typed-content.ts'
export { EventLogError, type EventLogErrorCode, type LogPosition } from './errors.ts'
export type { Coverage, EventDigests, LogEvent, LogSource, Proof, Register } from './event.ts'
export { certificateName } from './firmware/certificate-name.ts'
export { type FirmwareEventCoverage, firmwareEventCoverage } from './firmware/coverage.ts'
export { decodeFirmwareEventData } from './firmware/decode-event-data.ts'
export { describeFirmwareEvent } from './firmware/describe.ts'
export type { DevicePath, DevicePathNode } from './firmware/device-path.ts'
export type {
  FirmwareBlobData,
  FirmwareEventData,
  GptData,
  GptHeader,
  GptPartition,
  HandoffTablesData,
  ImageLoadData,
  IplData,
  LoadOption,
  ReferenceManifestData,
  SeparatorValue,
  SpecIdData,
  StartupLocalityData,
  TaggedEvent,
  TaggedEventData,
  TextData,
  VariableData,
  VariableValue,
  WindowsEvent,
  WindowsEventData,
} from './firmware/event-data.ts'
export { EV, eventTypeName } from './firmware/event-types.ts'
export type { FirmwareEvent, FirmwareLog, FirmwareLogAlgorithm } from './firmware/firmware-log.ts'
export {
  authenticodeDigest,
  PeImageError,
  type PeImageErrorCode,
  type PeSection,
  peSections,
} from './firmware/pe-image.ts'
export { type FirmwareLogOptions, readFirmwareLog } from './firmware/read-firmware-log.ts'
export { separatorOf } from './firmware/separator.ts'
export {
  decodeSignatureLists,
  type SignatureEntry,
  type SignatureList,
  type SignatureTypeName,
} from './firmware/signature-list.ts'
export type { SpdmData } from './firmware/spdm-data.ts'
export {
  BOOT_PHASES,
  type UkiProfile,
  type UkiSection,
  ukiProfiles,
  ukiRegister,
  ukiSectionDigests,
} from './firmware/uki.ts'
export { type ImaList, readImaList } from './ima/ascii.ts'
export { type ImaCursor, isViolation } from './ima/cursor.ts'
export { type ImaEventOptions, imaEvents, isBufferDigest, printableName } from './ima/describe.ts'
export { type ImaEntry, type ImaFieldValue, imaEntries, imaFields } from './ima/entry.ts'
export { type KnownImaEntries, knownImaEntries } from './ima/known-entries.ts'
export { type ImaFileDigest, type ImaMeasurement, imaMeasurement } from './ima/measurement.ts'
export { type ImaReplay, type ImaVisitor, replayIma } from './ima/replay.ts'
export {
  IMA_PCR,
  type ImaBankState,
  type ImaExtendRule,
  type ImaReplayState,
  imaReplayRestart,
  imaReplayStart,
} from './ima/replay-state.ts'
export { wholeImaEntries } from './ima/whole-entries.ts'
export type {
  AgentRecord,
  BankValues,
  BreakRecord,
  DeniedRecord,
  EnterRecord,
  ExitedRecord,
  ImageRecord,
  LaunchLogContent,
  LaunchRecord,
  PodRecord,
  Stage1Record,
} from './launch-log/launch-log.ts'
export { LAUNCH_LOG_VERSION } from './launch-log/launch-log.ts'
export { encodeLaunchLogContent, launchLogRecord } from './launch-log/launch-log-content.ts'
export { parseLaunchLogContent } from './launch-log/launch-log-schema.ts'
export {
  BANK_ORDER,
  type BankRegisters,
  banksOf,
  equalRegisters,
  extendValue,
  extendWithContent,
  fromBankValues,
  toBankValues,
  zeroRegisters,
} from './registers.ts'
export {
  type BankReplay,
  isAfterStart,
  pcrAfterStart,
  type RegisterReplay,
  replayRegister,
  STARTUP_LOCALITIES,
  type StartupLocality,
} from './replay-registers.ts'
export { measureLogEvents } from './systemd/describe.ts'
export {
  type MeasureLog,
  type MeasureLogRecord,
  type MeasureLogRegister,
  readMeasureLog,
} from './systemd/measure-log.ts'
export {
  type ProofOf,
  type RegisterProof,
  registerName,
  type TimelineEvent,
  type TimelineLog,
  timeline,
} from './timeline.ts'
