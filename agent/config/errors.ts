import { CodedError } from '../../attestation/base/index.ts'

/**
 * AGENT_CONFIG_UNREADABLE: the file, or a file that it names, cannot be read.
 * AGENT_CONFIG_INVALID: the file was read and is wrong; the message lists each mistake as `file:line:col: message`.
 * AGENT_TRUST_INVALID: the file that says which verifier to believe (`verifier.trust`, a ticket key, a CA) is not what it should be.
 * AGENT_GROUP_UNKNOWN: the group that may use the socket does not exist.
 */
export type AgentConfigErrorCode =
  | 'AGENT_CONFIG_UNREADABLE'
  | 'AGENT_CONFIG_INVALID'
  | 'AGENT_TRUST_INVALID'
  | 'AGENT_GROUP_UNKNOWN'
export class AgentConfigError extends CodedError<AgentConfigErrorCode> {}
