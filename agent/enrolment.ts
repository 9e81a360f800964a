import type { VerifierMessage } from '../attestation/protocol/index.ts'

type Challenge = Extract<VerifierMessage, { t: 'challenge' }>
type Answer = Extract<VerifierMessage, { t: 'result' | 'ticket' | 'denied' | 'renewed' }>

/** How far one connection to the verifier has come. */
export type SessionState =
  /** hello is sent. */
  | { readonly phase: 'greeting' }
  /** The proof of activation is being made, or is sent. */
  | { readonly phase: 'activating' }
  /** Known and not admitted yet: an operator decides. */
  | { readonly phase: 'pending'; readonly message: string }
  /** Admitted; the verifier's challenge is next. */
  | { readonly phase: 'admitted' }
  /** The login: a quote for this connection is being made, or is sent. */
  | { readonly phase: 'proving'; readonly outstanding: Outstanding }
  | { readonly phase: 'ready'; readonly outstanding: Outstanding }
  | {
      readonly phase: 'failed'
      readonly code: SessionFailure
      readonly message: string
      /** The verifier's word on how soon it is of no use to come again. */
      readonly retryAfterMs?: number
    }

/** The one message that has been sent and not answered. */
export type Outstanding = 'nothing' | 'evidence' | 'renewal' | { readonly launch: number }

/**
 * UPLINK_REFUSED: the verifier does not admit this node, or closed with an error of its own.
 * UPLINK_WRONG_NODE_ID: the verifier takes this node for another one.
 * UPLINK_UNEXPECTED_MESSAGE: a message that has no place at this point.
 */
export type SessionFailure = 'UPLINK_REFUSED' | 'UPLINK_WRONG_NODE_ID' | 'UPLINK_UNEXPECTED_MESSAGE'

export type SessionEvent =
  | { readonly kind: 'received'; readonly message: VerifierMessage }
  | { readonly kind: 'sent'; readonly what: Exclude<Outstanding, 'nothing'> }

export type SessionEffect =
  | { readonly do: 'activate'; readonly idObject: Uint8Array; readonly encryptedSecret: Uint8Array }
  | { readonly do: 'answer'; readonly challenge: Challenge }
  | { readonly do: 'deliver'; readonly message: Answer }
  | { readonly do: 'stop-pods'; readonly reason: string }
  | { readonly do: 'keep-certificate'; readonly akCertificate: Uint8Array }

export interface SessionStep {
  readonly state: SessionState
  readonly effects: readonly SessionEffect[]
}

export const SESSION_START: SessionState = { phase: 'greeting' }

/**
 * One step of enrolment, login and the exchanges after it. Pure: the shell carries the effects out.
 *
 * @param nodeId this node's own id, lowercase hex: a verifier that calls it otherwise is talking of another node
 */
export function stepSession(state: SessionState, event: SessionEvent, nodeId: string): SessionStep {
  if (state.phase === 'failed') return { state, effects: [] }
  return event.kind === 'sent' ? sent(state, event.what) : received(state, event.message, nodeId)
}

function sent(state: SessionState, what: Exclude<Outstanding, 'nothing'>): SessionStep {
  if ((state.phase === 'ready' || state.phase === 'proving') && state.outstanding === 'nothing') {
    return { state: { ...state, outstanding: what }, effects: [] }
  }
  throw new RangeError(`nothing can be sent in phase ${state.phase}`) // our own mistake: the exchange has one owner
}

function received(state: SessionState, message: VerifierMessage, nodeId: string): SessionStep {
  switch (message.t) {
    case 'error':
      return failed('UPLINK_REFUSED', `the verifier says ${message.code}: ${message.message}`, message.retryAfterMs)
    case 'status':
      return onStatus(state, message, nodeId)
    case 'activate': {
      if (state.phase !== 'greeting') return unexpected(state, message)
      const { idObject, encryptedSecret } = message
      return { state: { phase: 'activating' }, effects: [{ do: 'activate', idObject, encryptedSecret }] }
    }
    case 'challenge':
      return onChallenge(state, message)
    case 'result': {
      const inHand = state.phase === 'ready' || state.phase === 'proving' ? state.outstanding : 'nothing'
      if (inHand !== 'evidence') return unexpected(state, message)
      return { state: { phase: 'ready', outstanding: 'nothing' }, effects: [{ do: 'deliver', message }] }
    }
    case 'ticket':
    case 'denied': {
      const inHand = state.phase === 'ready' ? state.outstanding : 'nothing'
      if (typeof inHand !== 'object' || inHand.launch !== message.id) return unexpected(state, message)
      return { state: { phase: 'ready', outstanding: 'nothing' }, effects: [{ do: 'deliver', message }] }
    }
    case 'renewed': {
      const inHand = state.phase === 'ready' ? state.outstanding : 'nothing'
      if (inHand !== 'renewal') return unexpected(state, message)
      return { state: { phase: 'ready', outstanding: 'nothing' }, effects: [{ do: 'deliver', message }] }
    }
    case 'stop-pods':
      if (state.phase !== 'ready' && state.phase !== 'proving') return unexpected(state, message)
      return { state, effects: [{ do: 'stop-pods', reason: message.reason }] }
    default:
      message satisfies never
      throw new RangeError('unreachable: the message was decoded by its schema')
  }
}

function onStatus(
  state: SessionState,
  message: Extract<VerifierMessage, { t: 'status' }>,
  nodeId: string,
): SessionStep {
  if (message.nodeId !== nodeId) {
    return failed('UPLINK_WRONG_NODE_ID', `the verifier calls this node ${message.nodeId}, it is ${nodeId}`)
  }
  const effects: SessionEffect[] =
    message.akCertificate === undefined ? [] : [{ do: 'keep-certificate', akCertificate: message.akCertificate }]
  switch (message.admission) {
    case 'refused':
      return failed('UPLINK_REFUSED', `the verifier refuses this node: ${message.message}`)
    case 'pending':
      if (state.phase === 'ready' || state.phase === 'proving') return unexpected(state, message)
      return { state: { phase: 'pending', message: message.message }, effects }
    case 'admitted':
      // Said again to a node that already proves itself, it changes nothing.
      if (state.phase === 'ready' || state.phase === 'proving') return { state, effects }
      return { state: { phase: 'admitted' }, effects }
    default:
      message.admission satisfies never
      throw new RangeError('unreachable: the message was decoded by its schema')
  }
}

function onChallenge(state: SessionState, challenge: Challenge): SessionStep {
  const effects: SessionEffect[] = [{ do: 'answer', challenge }]
  switch (state.phase) {
    case 'greeting': // a node that is known and admitted is challenged at once
    case 'admitted':
      if (challenge.purpose !== 'session') return unexpected(state, challenge)
      return { state: { phase: 'proving', outstanding: 'nothing' }, effects }
    case 'ready':
      if (challenge.purpose !== 'periodic') return unexpected(state, challenge)
      return { state, effects }
    default:
      return unexpected(state, challenge)
  }
}

function unexpected(state: SessionState, message: VerifierMessage): SessionStep {
  return failed('UPLINK_UNEXPECTED_MESSAGE', `the verifier sent '${message.t}' to an agent that is ${state.phase}`)
}

function failed(code: SessionFailure, message: string, retryAfterMs?: number): SessionStep {
  return {
    state: { phase: 'failed', code, message, ...(retryAfterMs !== undefined && { retryAfterMs }) },
    effects: [],
  }
}
