export { capabilityNumber, DEFAULT_CAPABILITIES } from './capabilities.ts'
export { devicePolicyProgram, deviceRulesV1 } from './devices.ts'
export {
  buildNspawnStage1,
  INTERFACE_VERSION,
  nspawnStage1Image,
  STAGE1_ANNOTATIONS,
  type Stage1BuildSettings,
} from './image.ts'
export { MASKED_PATHS, READ_ONLY_PATHS } from './kernel-files.ts'
export {
  type Action,
  defaultSeccompFilter,
  errno,
  errorNumber,
  type FilterArch,
  isSystemCall,
  KILL,
  type SystemCallSet,
  setSeccompFilter,
  systemCallGroup,
} from './seccomp/index.ts'
export {
  PRIVATE_USERS,
  SUPERVISOR,
  SUPERVISOR_ENVIRONMENT,
  type SupervisorSettings,
  supervisorArguments,
} from './supervisor.ts'
