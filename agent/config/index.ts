export { AgentConfigError, type AgentConfigErrorCode } from './errors.ts'
export { findGroup, type LoadedConfig, loadAgentConfig } from './load.ts'
export {
  type AgentConfig,
  type EnforcementMode,
  MAX_CONFIG_BYTES,
  parseAgentConfig,
  type VerifierSettings,
} from './parse.ts'
export { readTrust, type TicketKey, type TrustedVerifier } from './trust.ts'
