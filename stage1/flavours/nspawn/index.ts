export { capabilityNumber, DEFAULT_CAPABILITIES } from './capabilities.ts'
export { devicePolicyProgram, deviceRulesV1 } from './devices.ts'
export {
  buildNspawnStage1,
  INTERFACE_VERSION,
  nspawnStage1Image,
  STAGE1_ANNOTATIONS,
  type Stage1BuildSettings,
} from './image.ts'
export { defaultSeccompFilter, type FilterArch } from './seccomp.ts'
export { SUPERVISOR, SUPERVISOR_ENVIRONMENT, type SupervisorSettings, supervisorArguments } from './supervisor.ts'
