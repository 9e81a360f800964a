import type { Logger } from 'pino'
import { codeOf, messageOf } from '../attestation/base/index.ts'
import { type LaunchRecord, toBankValues } from '../attestation/event-log/index.ts'
import { checkTicket, type TrustedTicketKeys, verifyTicket } from '../attestation/protocol/index.ts'
import type { PcrIndex } from '../attestation/tpm2/index.ts'
import type { EnforcementMode } from './config/index.ts'
import type { NodeIdentity } from './identity.ts'
import { LaunchError } from './launch-error.ts'
import { type AppendedRecord, type LaunchLog, LaunchLogError, type LogWriter } from './launch-log/index.ts'
import {
  launchRecordWithoutTicket,
  type MeasuredRequest,
  measuredRequest,
  parseLaunchBody,
  recordsBeforeLaunch,
} from './launch-records.ts'
import type { LaunchAllowed, LaunchDenied } from './local-api/index.ts'
import type { PodWatch } from './pod-watch.ts'
import type { Clock } from './ports.ts'
import type { Session, Uplink } from './uplink/index.ts'

/** Launches that wait for the one before them; stage0 processes beyond that are told to come again. */
const MAX_WAITING = 256
/** Difference that the clocks of node and verifier may have, on top of the ticket's own times. */
const CLOCK_TOLERANCE_S = 10

export interface LauncherOptions {
  readonly mode: EnforcementMode
  readonly identity: NodeIdentity
  readonly pcr: PcrIndex
  readonly launchLog: LaunchLog
  /** Absent in mode off. */
  readonly uplink?: Pick<Uplink, 'ready' | 'reportSoon'>
  readonly ticketKeys: TrustedTicketKeys
  readonly timeoutMs: number
  readonly podWatch: Pick<PodWatch, 'expect' | 'look'>
  readonly clock: Clock
  readonly logger: Logger
}

/** The verifier's word on a launch, or that there is none. */
type Verdict =
  | { readonly kind: 'ticket'; readonly jwt: string; readonly record: LaunchRecord }
  | { readonly kind: 'denied'; readonly code: string; readonly reasons: readonly string[] }

/** Measures launches, has them authorised and records the decision; one after another, because a ticket is for one register value. */
export class Launcher {
  readonly #options: LauncherOptions
  #waiting = 0

  constructor(options: LauncherOptions) {
    this.#options = options
  }

  /** Launches that run or wait. */
  get waiting(): number {
    return this.#waiting
  }

  /**
   * @param body parsed JSON of POST /v1/launches
   * @returns the decision; `allowed` only when the launch record is in the register
   * @throws CodedError for everything else: nothing may be started
   */
  async launch(body: unknown): Promise<LaunchAllowed | LaunchDenied> {
    const { identity, mode, podWatch, logger } = this.#options
    const parsed = parseLaunchBody(body)
    if (this.#waiting >= MAX_WAITING) {
      throw new LaunchError('LAUNCH_QUEUE_FULL', `${MAX_WAITING} launches wait already`)
    }
    const measured = measuredRequest(parsed, identity.nodeId, mode)
    const podUuid = parsed.pod.uuid
    const begun = performance.now()
    this.#waiting++
    try {
      const decision = mode === 'off' ? await this.#unasked(measured) : await this.#asked(measured)
      const ms = Math.round(performance.now() - begun)
      if (decision.decision === 'allowed')
        logger.info({ podUuid, mode, request: measured.sha256, ms }, 'launch allowed')
      else logger.warn({ podUuid, mode, code: decision.code, reasons: decision.reasons, ms }, 'launch denied')
      return decision
    } catch (err) {
      logger.error({ err, podUuid, code: codeOf(err) ?? 'INTERNAL' }, 'launch failed')
      throw err
    } finally {
      this.#waiting--
      podWatch.look()
    }
  }

  /** Mode off: measured, and nobody is asked. */
  #unasked(measured: MeasuredRequest): Promise<LaunchAllowed> {
    return this.#options.launchLog.exclusive(async (log) => {
      await this.#expect(log, measured)
      const records = [...recordsBeforeLaunch(log.summary, measured), launchRecordWithoutTicket(measured)]
      return this.#allowed(log, measured, await this.#append(log, records))
    })
  }

  async #asked(measured: MeasuredRequest): Promise<LaunchAllowed | LaunchDenied> {
    const { uplink, launchLog, mode, timeoutMs } = this.#options
    let session: Session
    try {
      if (uplink === undefined) throw new TypeError(`mode ${mode} without an uplink`)
      session = await uplink.ready(timeoutMs)
    } catch (err) {
      return await launchLog.exclusive((log) => this.#unanswered(log, measured, err))
    }
    // First the session's queue, then the log: the other order could wait for itself.
    const decision = await session.exclusive(async () => {
      const unprepared = await session.prepare().then(
        () => undefined,
        (err: unknown) => err ?? new Error('no reason'),
      )
      return launchLog.exclusive((log) =>
        unprepared === undefined ? this.#ask(log, session, measured) : this.#unanswered(log, measured, unprepared),
      )
    })
    uplink.reportSoon()
    return decision
  }

  async #ask(log: LogWriter, session: Session, measured: MeasuredRequest): Promise<LaunchAllowed | LaunchDenied> {
    await this.#expect(log, measured)
    await log.append(recordsBeforeLaunch(log.summary, measured))
    let verdict: Verdict
    try {
      verdict = await this.#verdict(log, session, measured)
    } catch (err) {
      return await this.#withoutTicket(log, measured, err)
    }
    if (verdict.kind === 'ticket') {
      return { ...this.#allowed(log, measured, await this.#append(log, [verdict.record])), ticket: verdict.jwt }
    }
    const { code, reasons } = verdict
    if (this.#options.mode === 'audit') {
      const appended = await this.#append(log, [launchRecordWithoutTicket(measured)])
      return { ...this.#allowed(log, measured, appended), objection: { code, reasons } }
    }
    await log.append([deniedRecord(measured, code)])
    return { decision: 'denied', code, reasons }
  }

  async #verdict(log: LogWriter, session: Session, measured: MeasuredRequest): Promise<Verdict> {
    const { ticketKeys, clock, identity, pcr, mode, timeoutMs } = this.#options
    const answer = await session.launch(log, measured.bytes, timeoutMs)
    if (answer.t === 'denied') return { kind: 'denied', code: answer.code, reasons: answer.reasons }
    const claims = await verifyTicket(answer.ticket, ticketKeys, clock.now(), CLOCK_TOLERANCE_S)
    const record = checkTicket(claims, {
      nodeId: identity.nodeId,
      podUuid: measured.request.pod.uuid,
      requestSha256: measured.sha256,
      akName: identity.akNameHex,
      ...log.start,
      pcr,
      registers: log.registers,
      mode,
    })
    return { kind: 'ticket', jwt: answer.ticket, record }
  }

  /** The verifier could not be asked at all. */
  async #unanswered(log: LogWriter, measured: MeasuredRequest, err: unknown): Promise<LaunchAllowed> {
    await this.#expect(log, measured)
    await log.append(recordsBeforeLaunch(log.summary, measured))
    return this.#withoutTicket(log, measured, err)
  }

  /** Asking failed: in mode audit the pod starts all the same, else the failure is recorded and thrown. */
  async #withoutTicket(log: LogWriter, measured: MeasuredRequest, err: unknown): Promise<LaunchAllowed> {
    const code = codeOf(err) ?? 'INTERNAL'
    if (this.#options.mode === 'audit') {
      const appended = await this.#append(log, [launchRecordWithoutTicket(measured)])
      return { ...this.#allowed(log, measured, appended), objection: { code, reasons: [messageOf(err)] } }
    }
    try {
      await log.append([deniedRecord(measured, code)])
    } catch (appendErr) {
      // Recorded when the log has been settled; see PodWatch. The first error is the one to act on.
      this.#options.logger.error(
        { err: appendErr, code: codeOf(appendErr) },
        'a refused launch could not be recorded yet',
      )
    }
    throw err
  }

  /** Every launch is of a new pod: asked for again, the place of one that runs would be forgotten, and its end be recorded by another. */
  async #expect(log: LogWriter, { request, podDirectory }: MeasuredRequest): Promise<void> {
    const { uuid } = request.pod
    if (log.summary.hasPod(uuid)) {
      throw new LaunchError('LAUNCH_REPEATED', `pod ${uuid} was asked for before; every launch is of a new pod`)
    }
    await this.#options.podWatch.expect(uuid, podDirectory)
  }

  /** Extends the launch and reads the register back: nothing starts on the word of the log alone. */
  async #append(log: LogWriter, records: Parameters<LogWriter['append']>[0]): Promise<AppendedRecord> {
    const last = (await log.append(records)).at(-1)
    if (last === undefined) throw new TypeError('at least the launch record was appended')
    try {
      await log.checkRegister()
    } catch (err) {
      if (err instanceof LaunchLogError) log.distrust()
      throw err
    }
    return last
  }

  #allowed(log: LogWriter, measured: MeasuredRequest, record: AppendedRecord): LaunchAllowed {
    return {
      decision: 'allowed',
      mode: this.#options.mode,
      request: new TextDecoder().decode(measured.bytes),
      log: {
        ...log.start,
        recnum: record.recnum,
        offset: record.end,
        pcr: this.#options.pcr,
        register: toBankValues(record.after),
      },
    }
  }
}

function deniedRecord(measured: MeasuredRequest, code: string) {
  return { record: 'denied', uuid: measured.request.pod.uuid, request: measured.sha256, code } as const
}
