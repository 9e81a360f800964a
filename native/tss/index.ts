export {
  type Attestation,
  certify,
  certifyCreation,
  getSessionAuditDigest,
  getTime,
  nvCertify,
  quote,
  sign,
  verifySignature,
} from './commands/attestation.ts'
export { nvDefine, nvExtend, nvIncrement, nvRead, nvReadPublic, nvUndefine, nvWrite } from './commands/nv.ts'
export {
  activateCredential,
  type CreatedObject,
  contextLoad,
  contextSave,
  create,
  createPrimary,
  evict,
  type LoadedKey,
  load,
  loadExternal,
  makeCredential,
  persist,
  readName,
  readPublic,
  type Sensitive,
  unseal,
} from './commands/objects.ts'
export { eventPcr, extendPcr, readPcrs, resetPcr } from './commands/pcr.ts'
export {
  policyAuthorize,
  policyAuthValue,
  policyCommandCode,
  policyCounterTimer,
  policyDigest,
  policyNonce,
  policyNv,
  policyOr,
  policyPcr,
  policySecret,
  policySigned,
} from './commands/policy.ts'
export {
  clear,
  getCapability,
  getPcrAllocation,
  getRandom,
  getTpmProperty,
  HANDLE_RANGES,
  isStarted,
  listHandles,
  readClock,
  selfTest,
  shutdown,
  startup,
  sweepLeakedHandles,
  TPM_PT,
} from './commands/system.ts'
export { type Lease, type SaltKey, TpmConnection, type TpmConnectionOptions } from './connection.ts'
export { dieWithParent } from './die-with-parent.ts'
export {
  type CallArguments,
  type CallMode,
  CallResult,
  ESYS_TR_NONE,
  ESYS_TR_PASSWORD,
  ESYS_TR_RH_ENDORSEMENT,
  ESYS_TR_RH_LOCKOUT,
  ESYS_TR_RH_NULL,
  ESYS_TR_RH_OWNER,
  ESYS_TR_RH_PLATFORM,
  type EsysTr,
  type SessionUse,
} from './esys-call.ts'
export { EsysContext, type EsysContextOptions, type Transport } from './esys-context.ts'
export { loadFfi } from './ffi.ts'
export type { FfiAdapter, FfiName } from './ffi-adapter.ts'
export { HandleRegistry, isSoleUser } from './handles.ts'
export { TssLibraries } from './libraries.ts'
export type { ProtectedCommand } from './salted-session.ts'
export { codeForRc, layerOf, TssError, type TssErrorCode, type TssLayer, tssErrorFromRc } from './tss-error.ts'
