export { capabilityNumber, DEFAULT_CAPABILITIES } from './capabilities.ts'
export { devicePolicyProgram, deviceRulesV1, MACHINE_DEVICES, TPM_DEVICES } from './devices.ts'
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
