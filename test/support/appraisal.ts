import {
  appraiseEvidence,
  type Evidence,
  type EvidenceAppraisal,
  type LaunchLogPolicy,
  type NodeState,
  pendingTicket,
  type RequestInput,
  ticketSubject,
  withTicket,
} from '../../attestation/appraisal/index.ts'
import { canonicalJson, toHex, utf8 } from '../../attestation/base/index.ts'
import { digest } from '../../attestation/crypto/index.ts'
import type { ImageRecord, PodRecord, Stage1Record } from '../../attestation/event-log/index.ts'
import {
  encodeLaunchRequest,
  type LaunchRequest,
  type TicketClaims,
  ticketClaims,
} from '../../attestation/protocol/index.ts'
import type { ClockInfo } from '../../attestation/tpm2/index.ts'
import { type LogBuilder, PCR, VERIFIER_ID } from './launch-log.ts'
import { launchRequest } from './launch-request.ts'

export const NOW = new Date('2026-03-01T12:00:00Z')
export const LATER = (s: number) => new Date(NOW.getTime() + 1000 * s)
export const POLICY: LaunchLogPolicy = { startValues: [], verifierKeys: new Set([VERIFIER_ID]) }
export const AK_NAME = `000b${'34'.repeat(32)}`
export const GRACE_MS = 30_000

export const clockAt = (clockMs: number, resetCount = 5, restartCount = 0): ClockInfo => ({
  clockMs: BigInt(clockMs),
  resetCount,
  restartCount,
  safe: true,
})

/** Evidence of an honest agent: the log from where the verifier has it, the register as it is. */
export function evidenceOf(log: LogBuilder, clock: ClockInfo, previous?: NodeState): Evidence {
  const same = previous?.clock.resetCount === clock.resetCount && previous.clock.restartCount === clock.restartCount
  const offset = same ? ((previous.ahead ?? previous.boot)?.replay.offset ?? 0) : 0
  const { resetCount, restartCount } = clock
  return {
    clock,
    pcr: PCR,
    registers: log.registers,
    log: { resetCount, restartCount, offset, bytes: log.bytes.subarray(offset), more: false },
  }
}

/** Appraises the whole of a log at first contact, or goes on from a state. */
export function appraiseLog(log: LogBuilder, previous?: NodeState, now = NOW, policy = POLICY): EvidenceAppraisal {
  const clock = clockAt(Number(previous?.clock.clockMs ?? 0n) + 100)
  return appraiseEvidence(previous, evidenceOf(log, clock, previous), policy, now)
}

/** A request whose manifest digest is right, as stage0 makes it. */
export function honestRequest(over: Partial<LaunchRequest> = {}): LaunchRequest {
  const request = launchRequest(over)
  const manifestSha256 = toHex(digest('sha256', utf8(canonicalJson(request.pod.manifest))))
  return { ...request, pod: { ...request.pod, manifestSha256 } }
}

/** The records that an agent measures before it asks for the launch. */
export function measured(request: LaunchRequest): [Stage1Record, ...ImageRecord[], PodRecord] {
  return [
    { record: 'stage1', ...request.stage1 },
    ...request.images.map((image): ImageRecord => ({ record: 'image', ...image })),
    podRecord(request),
  ]
}

export function podRecord(request: LaunchRequest): PodRecord {
  return {
    record: 'pod',
    uuid: request.pod.uuid,
    request: sha256(encodeLaunchRequest(request)),
    manifest: request.pod.manifestSha256,
    stage1: request.stage1.id,
    images: request.images.map((i) => i.id),
    ...(request.guest === undefined ? {} : { guest: request.guest.archive }),
  }
}

export function inputOf(request: LaunchRequest, appraisal: EvidenceAppraisal): RequestInput {
  return {
    request,
    bytes: encodeLaunchRequest(request),
    nodeId: request.node,
    boot: appraisal.proof,
    unprovenRecords: appraisal.unprovenRecords,
  }
}

let tickets = 0
/** A ticket for the request at the proven register, and the state that remembers it. */
export function issue(
  request: LaunchRequest,
  appraisal: EvidenceAppraisal,
  now = NOW,
): { claims: TicketClaims; state: NodeState } {
  const { boot } = appraisal.state
  if (boot === undefined) throw new TypeError('nothing is proven')
  const id = (++tickets).toString(16).padStart(32, '0')
  const policy = { revision: 'ef'.repeat(32), allowedBy: ['p1'] }
  const ticket = { verifierId: VERIFIER_ID, id, akName: AK_NAME, policy }
  const subject = ticketSubject(inputOf(request, appraisal), { ...appraisal.state, boot }, ticket)
  const claims = ticketClaims(subject, now, 60)
  return { claims, state: withTicket(appraisal.state, pendingTicket(claims, GRACE_MS)) }
}

function sha256(bytes: Uint8Array): string {
  return toHex(digest('sha256', bytes))
}
