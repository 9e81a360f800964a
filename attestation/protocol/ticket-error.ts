import { CodedError } from '../base/index.ts'

/**
 * TICKET_MALFORMED: not a compact JWS of our type with exactly the claims of a ticket.
 * TICKET_UNKNOWN_KEY: signed by a verifier that is not trusted here.
 * TICKET_SIGNATURE: the signature is not that verifier's.
 * TICKET_EXPIRED, TICKET_NOT_YET_VALID: outside its time; compare the clocks of node and verifier.
 * TICKET_TOO_LONG: lives longer than a ticket may.
 * TICKET_WRONG_NODE, TICKET_WRONG_AK: for another node, or another generation of its AK.
 * TICKET_WRONG_POD, TICKET_WRONG_REQUEST: for another pod, or for the same pod with other contents.
 * TICKET_TPM_RESTARTED: resetCount or restartCount is not the current one; everything proved before is void.
 * TICKET_WRONG_PCR, TICKET_WRONG_BANKS: not for this register, or not for exactly the allocated banks.
 * TICKET_REGISTER_MOVED: another event landed first, so the ticket is dead.
 * TICKET_WRONG_AFTER: the launch record with this ticket's id does not lead where the ticket says.
 */
export type TicketErrorCode =
  | 'TICKET_MALFORMED'
  | 'TICKET_UNKNOWN_KEY'
  | 'TICKET_SIGNATURE'
  | 'TICKET_EXPIRED'
  | 'TICKET_NOT_YET_VALID'
  | 'TICKET_TOO_LONG'
  | 'TICKET_WRONG_NODE'
  | 'TICKET_WRONG_AK'
  | 'TICKET_WRONG_POD'
  | 'TICKET_WRONG_REQUEST'
  | 'TICKET_TPM_RESTARTED'
  | 'TICKET_WRONG_PCR'
  | 'TICKET_WRONG_BANKS'
  | 'TICKET_REGISTER_MOVED'
  | 'TICKET_WRONG_AFTER'
export class TicketError extends CodedError<TicketErrorCode> {}
