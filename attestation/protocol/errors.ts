import { CodedError } from '../base/index.ts'

/**
 * PROTOCOL_FRAME_TOO_LARGE: longer than MAX_FRAME_BYTES; nothing of it was decoded.
 * PROTOCOL_TOO_COMPLEX: nested deeper, or made of more items, than any message of this protocol.
 * PROTOCOL_NOT_CBOR: not one well-formed CBOR item of the kinds used here, or followed by more bytes.
 * PROTOCOL_NOT_DETERMINISTIC: CBOR, but not in the one encoding its value has (RFC 8949 §4.2.1).
 * PROTOCOL_UNKNOWN_MESSAGE: no message of this direction has such a `t`.
 * PROTOCOL_INVALID_MESSAGE: fields are missing, unknown or out of range; the message names each path.
 * PROTOCOL_BAD_SELECTION: a PCR selection names a bank twice or its registers out of order.
 * PROTOCOL_BAD_PCR_VALUES: a register occurs twice, or its value has another length than its bank's digests.
 */
export type ProtocolErrorCode =
  | 'PROTOCOL_FRAME_TOO_LARGE'
  | 'PROTOCOL_TOO_COMPLEX'
  | 'PROTOCOL_NOT_CBOR'
  | 'PROTOCOL_NOT_DETERMINISTIC'
  | 'PROTOCOL_UNKNOWN_MESSAGE'
  | 'PROTOCOL_INVALID_MESSAGE'
  | 'PROTOCOL_BAD_SELECTION'
  | 'PROTOCOL_BAD_PCR_VALUES'
export class ProtocolError extends CodedError<ProtocolErrorCode> {}
