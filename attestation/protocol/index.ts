export { ACTIVATION_SECRET_BYTES, activationProof, collectionBinding, quoteBinding, quotePurpose } from './binding.ts'
export { decodeCbor, encodeCbor } from './cbor.ts'
export { decodeAgentMessage, decodeQuotedBody, decodeVerifierMessage, encodeMessage } from './codec.ts'
export {
  type AppEnter,
  type EnterRequest,
  encodeEnterRequest,
  enterRecord,
  isEnterRequest,
  matchEnterRequest,
  parseAppEnter,
  parseEnterRequest,
} from './enter-request.ts'
export { ProtocolError, type ProtocolErrorCode } from './errors.ts'
export { encodeLaunchRequest, matchLaunchRequest } from './launch-request.ts'
export { LaunchRequestError, type LaunchRequestErrorCode, MAX_LAUNCH_REQUEST_BYTES } from './launch-request-error.ts'
export { type LaunchRequest, type PodLaunch, parseLaunchRequest, parsePodLaunch } from './launch-request-schema.ts'
export {
  ACTIVATION_LABEL,
  type AgentMessage,
  type Finding,
  MACHINE_LOGS,
  MAX_FRAME_BYTES,
  MAX_LOG_BYTES,
  MAX_MACHINE_LOG_BYTES,
  MAX_SESSION_LOG_BYTES,
  type MachineLogPiece,
  type MachineLogSource,
  NONCE_BYTES,
  NONCE_LIFETIME_MS,
  QUOTE_LABELS,
  type QuotedBody,
  type QuotePurpose,
  SUBPROTOCOL,
  TLS_EXPORTER_BYTES,
  TLS_EXPORTER_LABEL,
  type VerifierMessage,
  type WantedMachineLogs,
} from './messages.ts'
export {
  pcrValuesFromWire,
  pcrValuesToWire,
  selectionFromWire,
  selectionToWire,
  type WirePcrValues,
  type WireSelection,
} from './pcr-wire.ts'
export { schemaProblems } from './schema-problems.ts'
export {
  MAX_TICKET_LIFETIME_S,
  parseTicketClaims,
  type RegisterSwap,
  TICKET_TYPE,
  type TicketClaims,
  type TicketSubject,
  ticketClaims,
} from './ticket.ts'
export {
  checkTicket,
  checkTicketFor,
  type ExpectedLaunch,
  registerSwap,
  ticketedEnter,
  ticketedLaunchRecord,
} from './ticket-check.ts'
export { TicketError, type TicketErrorCode } from './ticket-error.ts'
export { signTicket, type TicketKey, type TrustedTicketKeys, verifyTicket } from './ticket-jwt.ts'
export { checkTicketForPod, type ExpectedPod } from './ticket-pod.ts'
