export {
  encodeLaunchRequest,
  type LaunchRequest,
  LaunchRequestError,
  type LaunchRequestErrorCode,
  MAX_LAUNCH_REQUEST_BYTES,
  type PodLaunch,
  parseLaunchRequest,
  parsePodLaunch,
} from './launch-request.ts'
export {
  ACTIVATION_LABEL,
  type AgentMessage,
  type Finding,
  MAX_FRAME_BYTES,
  MAX_LOG_BYTES,
  NONCE_BYTES,
  NONCE_LIFETIME_MS,
  QUOTE_LABELS,
  type QuotedBody,
  type QuotePurpose,
  SUBPROTOCOL,
  TLS_EXPORTER_BYTES,
  TLS_EXPORTER_LABEL,
  type VerifierMessage,
} from './messages.ts'
export { MAX_TICKET_LIFETIME_S, TICKET_TYPE, type TicketClaims } from './ticket.ts'
