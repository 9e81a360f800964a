import { toHex, utf8 } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import {
  type AppEnter,
  checkTicketForPod,
  type LaunchRequest,
  LaunchRequestError,
  matchEnterRequest,
  matchLaunchRequest,
  type PodLaunch,
  TicketError,
  type TrustedTicketKeys,
  verifyTicket,
} from '../../attestation/protocol/index.ts'
import type { AgentAnswer } from './agent-client.ts'
import { PodError } from './errors.ts'

/** How far the verifier's clock may be off. */
const CLOCK_TOLERANCE_S = 5

/** How a launch was let through; anything but `enforce` must be told to the user. */
export type LaunchMode = 'enforce' | 'audit' | 'off'

/** What root of this node has said, in files: whom to believe, and whether a launch needs a ticket at all. */
export interface NodeTrust {
  /** Asked for only where a ticket came. */
  readonly ticketKeys: () => TrustedTicketKeys
  /** The agent may be stricter than this and not laxer. Asked for only where it does not enforce. */
  readonly configuredMode: () => Promise<LaunchMode>
}

/** From the strictest on. */
const MODES: readonly LaunchMode[] = ['enforce', 'audit', 'off']

/**
 * Holds the agent's answer against what this stage0 asked for: the request that was measured must be ours, with nothing
 * added but node and mode, and the ticket must be signed by a trusted verifier for exactly these bytes, now.
 *
 * @throws PodError LAUNCH_DENIED with the reasons, AGENT_ANSWER_BAD, LAUNCH_TICKET_BAD, LAUNCH_MODE_UNKNOWN
 */
export function checkAnswer(launch: PodLaunch, answer: AgentAnswer, trust: NodeTrust, now: Date): Promise<LaunchMode> {
  const asked = { what: 'launch', podUuid: launch.pod.uuid, match: (b: Uint8Array) => matchLaunchRequest(b, launch) }
  return check(asked, answer, trust, now)
}

/** As checkAnswer, for a program that is to be run inside an app. @throws PodError as checkAnswer */
export function checkEnterAnswer(
  enter: AppEnter,
  answer: AgentAnswer,
  trust: NodeTrust,
  now: Date,
): Promise<LaunchMode> {
  const asked = { what: 'enter', podUuid: enter.pod, match: (b: Uint8Array) => matchEnterRequest(b, enter) }
  return check(asked, answer, trust, now)
}

interface Asked {
  readonly what: string
  readonly podUuid: string
  /** @throws LaunchRequestError where the bytes are not what was asked for */
  readonly match: (bytes: Uint8Array) => Pick<LaunchRequest, 'node' | 'mode'>
}

async function check(asked: Asked, answer: AgentAnswer, trust: NodeTrust, now: Date): Promise<LaunchMode> {
  if (answer.decision === 'denied') {
    throw new PodError('LAUNCH_DENIED', [`the ${asked.what} was refused`, ...answer.reasons].join('\n  '), {
      hint:
        answer.code === 'LAUNCH_DENIED'
          ? 'What decides is the launch policy at the verifier; holdfast log shows what was measured.'
          : `The verifier's operator can tell more (${answer.code}); holdfast log shows what was measured.`,
    })
  }
  const requestBytes = utf8(answer.request)
  const { node, mode } = checkRequest(asked, requestBytes)
  if (mode !== answer.mode) {
    throw new PodError('AGENT_ANSWER_BAD', `the agent says mode ${answer.mode}, the measured request says ${mode}`)
  }
  if (mode !== 'enforce') {
    const configured = await trust.configuredMode()
    if (MODES.indexOf(mode) <= MODES.indexOf(configured)) return mode
    throw new PodError('AGENT_ANSWER_BAD', `the agent says mode ${mode}; configured on this node is ${configured}`, {
      hint: 'Restart the agent if its configuration was changed, or name that with --agent-config. If neither is it, do not trust this agent before its log was looked at.',
    })
  }
  if (answer.ticket === undefined) {
    throw new PodError('LAUNCH_TICKET_BAD', 'the agent enforces, but its answer has no ticket', {
      hint: 'Do not trust this agent before its log and configuration were looked at.',
    })
  }
  try {
    const claims = await verifyTicket(answer.ticket, trust.ticketKeys(), now, CLOCK_TOLERANCE_S)
    checkTicketForPod(claims, {
      nodeId: node,
      podUuid: asked.podUuid,
      requestSha256: toHex(digest('sha256', requestBytes)),
    })
  } catch (cause) {
    if (!(cause instanceof TicketError)) throw cause
    throw new PodError(
      'LAUNCH_TICKET_BAD',
      `the ticket does not authorise this ${asked.what}: ${cause.message} (${cause.code})`,
      {
        cause,
        hint: "Compare the clock with the verifier's, and the keys in the trust file with the verifier's.",
      },
    )
  }
  return mode
}

/** What was authorised must be what we asked for, byte for byte, with nothing added but what the agent knows. */
function checkRequest({ match }: Asked, bytes: Uint8Array): Pick<LaunchRequest, 'node' | 'mode'> {
  try {
    return match(bytes)
  } catch (cause) {
    if (!(cause instanceof LaunchRequestError)) throw cause
    throw new PodError('AGENT_ANSWER_BAD', `${cause.message} (${cause.code})`, {
      cause,
      hint: 'Nothing was started. Look at holdfast log, and do not trust this agent before it is explained.',
    })
  }
}
