import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { decodeCbor, encodeCbor } from './cbor.ts'
import { ProtocolError } from './errors.ts'
import {
  ActivateSchema,
  ActivationSchema,
  type AgentMessage,
  ChallengeSchema,
  DeniedSchema,
  ErrorSchema,
  EvidenceSchema,
  HelloSchema,
  LaunchSchema,
  MAX_FRAME_BYTES,
  type QuotedBody,
  QuotedSchema,
  RenewedSchema,
  RenewSchema,
  ResultSchema,
  StatusSchema,
  StopPodsSchema,
  TicketSchema,
  type VerifierMessage,
} from './messages.ts'
import { schemaProblems } from './schema-problems.ts'

type SchemaTable = ReadonlyMap<string, TSchema>
const AGENT_MESSAGES: SchemaTable = new Map<string, TSchema>([
  ['hello', HelloSchema],
  ['activation', ActivationSchema],
  ['quoted', QuotedSchema],
  ['renew', RenewSchema],
])
const QUOTED_BODIES: SchemaTable = new Map<string, TSchema>([
  ['evidence', EvidenceSchema],
  ['launch', LaunchSchema],
])
const VERIFIER_MESSAGES: SchemaTable = new Map<string, TSchema>([
  ['activate', ActivateSchema],
  ['status', StatusSchema],
  ['challenge', ChallengeSchema],
  ['result', ResultSchema],
  ['ticket', TicketSchema],
  ['denied', DeniedSchema],
  ['renewed', RenewedSchema],
  ['stop-pods', StopPodsSchema],
  ['error', ErrorSchema],
])
const ALL_MESSAGES: SchemaTable = new Map([...AGENT_MESSAGES, ...QUOTED_BODIES, ...VERIFIER_MESSAGES])

/**
 * @param message any message, outer or inner; members that are undefined are left out
 * @returns its deterministic CBOR, ready to be sent, or to be hashed and carried as the body of `quoted`
 * @throws ProtocolError PROTOCOL_INVALID_MESSAGE, PROTOCOL_FRAME_TOO_LARGE: the other side would refuse it, so it fails
 * here
 */
export function encodeMessage(message: AgentMessage | VerifierMessage | QuotedBody): Uint8Array {
  checkMessage(message, ALL_MESSAGES)
  const bytes = encodeCbor(message)
  checkFrameSize(bytes)
  return bytes
}

/**
 * @param frame one binary frame as received
 * @returns the outer message of an agent, well formed and believed in nothing
 * @throws ProtocolError
 */
export function decodeAgentMessage(frame: Uint8Array): AgentMessage {
  return decodeMessage(frame, AGENT_MESSAGES) as AgentMessage // the schema of its `t` has just been checked
}

/** As decodeAgentMessage, for what a verifier sends. */
export function decodeVerifierMessage(frame: Uint8Array): VerifierMessage {
  return decodeMessage(frame, VERIFIER_MESSAGES) as VerifierMessage // as above
}

/**
 * As decodeAgentMessage, for the body of `quoted`. Believe it only after the quote over quoteBinding() has been
 * verified.
 */
export function decodeQuotedBody(body: Uint8Array): QuotedBody {
  return decodeMessage(body, QUOTED_BODIES) as QuotedBody // as above
}

function decodeMessage(frame: Uint8Array, table: SchemaTable): unknown {
  checkFrameSize(frame)
  const value = decodeCbor(frame)
  checkMessage(value, table)
  return value
}

function checkFrameSize(frame: Uint8Array): void {
  if (frame.length <= MAX_FRAME_BYTES) return
  throw new ProtocolError('PROTOCOL_FRAME_TOO_LARGE', `${frame.length} bytes, a frame has at most ${MAX_FRAME_BYTES}`)
}

function checkMessage(value: unknown, table: SchemaTable): void {
  const t = typeof value === 'object' && value !== null && 't' in value ? value.t : undefined
  const schema = typeof t === 'string' ? table.get(t) : undefined
  if (schema === undefined) {
    const got =
      typeof t === 'string' ? JSON.stringify(t.slice(0, 64)) : `${t === undefined ? 'no' : 'a non-text'} \`t\``
    throw new ProtocolError('PROTOCOL_UNKNOWN_MESSAGE', `got ${got}, expected one of ${[...table.keys()].join(', ')}`)
  }
  if (Value.Check(schema, value)) return
  throw new ProtocolError('PROTOCOL_INVALID_MESSAGE', `message ${t}: ${schemaProblems(schema, value)}`)
}
