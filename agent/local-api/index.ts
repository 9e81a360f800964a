export {
  AGENT_SOCKET_NAME,
  type AgentFailure,
  type AgentStatus,
  DEFAULT_AGENT_SOCKET,
  type LaunchAllowed,
  type LaunchBody,
  type LaunchDenied,
  type LaunchPosition,
  type UplinkStatus,
} from './api.ts'
export { isServed } from './served-socket.ts'
