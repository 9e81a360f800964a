import { toHex } from '../attestation/base/index.ts'
import { digest } from '../attestation/crypto/index.ts'
import type { DeniedRecord, EnterRecord, LaunchLogContent, LaunchRecord } from '../attestation/event-log/index.ts'
import {
  type AppEnter,
  type EnterRequest,
  encodeEnterRequest,
  enterRecord,
  type TicketClaims,
  ticketedEnter,
  ticketedLaunchRecord,
} from '../attestation/protocol/index.ts'
import type { EnforcementMode } from './config/index.ts'
import { LaunchError } from './launch-error.ts'
import type { LogSummary } from './launch-log/index.ts'
import { launchRecordWithoutTicket, type MeasuredRequest, recordsBeforeLaunch } from './launch-records.ts'

/** What is measured, put to the verifier and recorded before it happens: a launch, or somebody entering a pod. */
export interface Measured {
  readonly action: 'launch' | 'enter'
  readonly podUuid: string
  /** Of the request. */
  readonly bytes: Uint8Array
  readonly sha256: string
  /** @throws LaunchError for what cannot be; nothing has been recorded by then */
  readonly check: (summary: LogSummary) => void
  /** Recorded before the verifier is asked. */
  readonly before: (summary: LogSummary) => readonly LaunchLogContent[]
  /** The record that says it may happen, as the ticket wants it. */
  readonly allowedBy: (claims: TicketClaims) => LaunchRecord | EnterRecord
  /** The same where no verifier allowed it, in mode audit or off. */
  readonly allowedByNobody: () => LaunchRecord | EnterRecord
  readonly denied: (code: string) => DeniedRecord
}

export function measuredLaunch(measured: MeasuredRequest): Measured {
  const { request, bytes, sha256 } = measured
  const { uuid } = request.pod
  return {
    action: 'launch',
    podUuid: uuid,
    bytes,
    sha256,
    // asked for again, the place of one that runs would be forgotten, and its end be recorded by another
    check: (summary) => {
      if (!summary.hasPod(uuid)) return
      throw new LaunchError('LAUNCH_REPEATED', `pod ${uuid} was asked for before; every launch is of a new pod`)
    },
    before: (summary) => recordsBeforeLaunch(summary, measured),
    allowedBy: (claims) => ticketedLaunchRecord(claims, request.mode),
    allowedByNobody: () => launchRecordWithoutTicket(measured),
    denied: (code) => ({ record: 'denied', uuid, request: sha256, code }),
  }
}

/** @param by who asked, by the kernel's word */
export function measuredEnter(enter: AppEnter, node: string, mode: EnforcementMode, by: EnterRequest['by']): Measured {
  const request: EnterRequest = { ...enter, node, mode, by: { uid: by.uid, gid: by.gid } }
  const bytes = encodeEnterRequest(request)
  const sha256 = toHex(digest('sha256', bytes))
  return {
    action: 'enter',
    podUuid: enter.pod,
    bytes,
    sha256,
    check: (summary) => {
      const launch = summary.open.get(enter.pod)
      if (launch?.request === enter.launch) return
      const why = launch === undefined ? 'does not run, by the launch log' : 'was launched by another request'
      throw new LaunchError('ENTER_NOT_RUNNING', `pod ${enter.pod} ${why}`)
    },
    before: () => [],
    allowedBy: (claims) => enterRecord(request, sha256, ticketedEnter(claims)),
    allowedByNobody: () => enterRecord(request, sha256, {}),
    denied: (code) => ({ record: 'denied', uuid: enter.pod, request: sha256, code, action: 'enter' }),
  }
}
