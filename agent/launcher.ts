import type { Logger } from 'pino'
import { codeOf, messageOf } from '../attestation/base/index.ts'
import { type EnterRecord, type LaunchRecord, toBankValues } from '../attestation/event-log/index.ts'
import { checkTicketFor, parseAppEnter, type TrustedTicketKeys, verifyTicket } from '../attestation/protocol/index.ts'
import type { PcrIndex } from '../attestation/tpm2/index.ts'
import type { PeerCredentials } from '../native/process/index.ts'
import type { EnforcementMode } from './config/index.ts'
import type { NodeIdentity } from './identity.ts'
import { LaunchError } from './launch-error.ts'
import { type AppendedRecord, type LaunchLog, LaunchLogError, type LogWriter } from './launch-log/index.ts'
import { measuredRequest, parseLaunchBody } from './launch-records.ts'
import type { LaunchAllowed, LaunchDenied } from './local-api/index.ts'
import { type Measured, measuredEnter, measuredLaunch } from './measured.ts'
import type { PodWatch } from './pod-watch.ts'
import type { Clock } from './ports.ts'
import type { Session, Uplink } from './uplink/index.ts'

/** Launches that wait for the one before them; stage0 processes beyond that are told to come again. */
const MAX_WAITING = 256
/** A connection that ends while launches wait for their turn is not their trouble; a verifier that ends each one is. */
const MAX_CONNECTIONS = 2
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

/** Makes sure that it can be at all, and notes what has to be known of it; before anything is recorded. */
type Begin = (log: LogWriter) => Promise<void>

/** The verifier's word on a launch, or that there is none. */
type Verdict =
  | { readonly kind: 'ticket'; readonly jwt: string; readonly record: LaunchRecord | EnterRecord }
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
    const { identity, mode, podWatch } = this.#options
    const parsed = parseLaunchBody(body)
    const measured = measuredLaunch(measuredRequest(parsed, identity.nodeId, mode))
    try {
      return await this.#decide(measured, () => podWatch.expect(parsed.pod.uuid, parsed.podDirectory))
    } finally {
      podWatch.look()
    }
  }

  /**
   * Somebody wants to run a program inside an app of a running pod.
   * @param body parsed JSON of POST /v1/enters
   * @param by who asked, by the kernel's word
   * @returns as launch(): `allowed` only when the enter record is in the register
   * @throws CodedError for everything else: nothing may be run
   */
  async enter(body: unknown, by: Pick<PeerCredentials, 'uid' | 'gid'>): Promise<LaunchAllowed | LaunchDenied> {
    const { identity, mode } = this.#options
    return await this.#decide(measuredEnter(parseAppEnter(body), identity.nodeId, mode, by), async () => {})
  }

  async #decide(measured: Measured, expect: () => Promise<void>): Promise<LaunchAllowed | LaunchDenied> {
    const { mode, logger } = this.#options
    const { action, podUuid } = measured
    if (this.#waiting >= MAX_WAITING) {
      throw new LaunchError('LAUNCH_QUEUE_FULL', `${MAX_WAITING} launches wait already`)
    }
    const begun = performance.now()
    this.#waiting++
    try {
      const begin = async (log: LogWriter): Promise<void> => {
        measured.check(log.summary)
        await expect()
      }
      const decision = mode === 'off' ? await this.#unasked(measured, begin) : await this.#asked(measured, begin)
      const ms = Math.round(performance.now() - begun)
      if (decision.decision === 'allowed')
        logger.info({ podUuid, mode, request: measured.sha256, ms }, `${action} allowed`)
      else logger.warn({ podUuid, mode, code: decision.code, reasons: decision.reasons, ms }, `${action} denied`)
      return decision
    } catch (err) {
      logger.error({ err, podUuid, code: codeOf(err) ?? 'INTERNAL' }, `${action} failed`)
      throw err
    } finally {
      this.#waiting--
    }
  }

  /** Mode off: measured, and nobody is asked. */
  #unasked(measured: Measured, begin: Begin): Promise<LaunchAllowed> {
    return this.#options.launchLog.exclusive(async (log) => {
      await begin(log)
      const records = [...measured.before(log.summary), measured.allowedByNobody()]
      return this.#allowed(log, measured, await this.#append(log, records))
    })
  }

  async #asked(measured: Measured, begin: Begin): Promise<LaunchAllowed | LaunchDenied> {
    for (let connections = 1; ; connections++) {
      const decision = await this.#askedOn(connections === MAX_CONNECTIONS, measured, begin)
      if (decision !== undefined) return decision
    }
  }

  /** @returns undefined where the connection ended before anything was recorded or asked, and there may be another one */
  async #askedOn(isLast: boolean, measured: Measured, begin: Begin): Promise<LaunchAllowed | LaunchDenied | undefined> {
    const { uplink, launchLog, mode, timeoutMs } = this.#options
    let session: Session
    try {
      if (uplink === undefined) throw new TypeError(`mode ${mode} without an uplink`)
      session = await uplink.ready(timeoutMs)
    } catch (err) {
      return await launchLog.exclusive((log) => this.#unanswered(log, measured, begin, err))
    }
    // First the session's queue, then the log: the other order could wait for itself.
    const decision = await session.exclusive(async () => {
      const unprepared = await session.prepare().then(
        () => undefined,
        (err: unknown) => err ?? new Error('no reason'),
      )
      if (!isLast && codeOf(unprepared) === 'UPLINK_CLOSED') return undefined
      return launchLog.exclusive((log) =>
        unprepared === undefined
          ? this.#ask(log, session, measured, begin)
          : this.#unanswered(log, measured, begin, unprepared),
      )
    })
    uplink.reportSoon()
    return decision
  }

  async #ask(
    log: LogWriter,
    session: Session,
    measured: Measured,
    begin: Begin,
  ): Promise<LaunchAllowed | LaunchDenied> {
    await begin(log)
    await this.#appendBefore(log, measured)
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
      const appended = await this.#append(log, [measured.allowedByNobody()])
      return { ...this.#allowed(log, measured, appended), objection: { code, reasons } }
    }
    await log.append([measured.denied(code)])
    return { decision: 'denied', code, reasons }
  }

  async #verdict(log: LogWriter, session: Session, measured: Measured): Promise<Verdict> {
    const { ticketKeys, clock, identity, pcr, timeoutMs } = this.#options
    const answer = await session.launch(log, measured.bytes, timeoutMs)
    if (answer.t === 'denied') return { kind: 'denied', code: answer.code, reasons: answer.reasons }
    const claims = await verifyTicket(answer.ticket, ticketKeys, clock.now(), CLOCK_TOLERANCE_S)
    const record = measured.allowedBy(claims)
    const here = { nodeId: identity.nodeId, podUuid: measured.podUuid, requestSha256: measured.sha256 }
    const tpm = { akName: identity.akNameHex, ...log.start, pcr, registers: log.registers }
    checkTicketFor(claims, { ...here, ...tpm }, record)
    return { kind: 'ticket', jwt: answer.ticket, record }
  }

  /** The verifier could not be asked at all. */
  async #unanswered(log: LogWriter, measured: Measured, begin: Begin, err: unknown): Promise<LaunchAllowed> {
    await begin(log)
    await this.#appendBefore(log, measured)
    return this.#withoutTicket(log, measured, err)
  }

  /** Asking failed: in mode audit the pod starts all the same, else the failure is recorded and thrown. */
  async #withoutTicket(log: LogWriter, measured: Measured, err: unknown): Promise<LaunchAllowed> {
    const code = codeOf(err) ?? 'INTERNAL'
    if (this.#options.mode === 'audit') {
      const appended = await this.#append(log, [measured.allowedByNobody()])
      return { ...this.#allowed(log, measured, appended), objection: { code, reasons: [messageOf(err)] } }
    }
    try {
      await log.append([measured.denied(code)])
    } catch (appendErr) {
      // Recorded when the log has been settled; see PodWatch. The first error is the one to act on.
      this.#options.logger.error(
        { err: appendErr, code: codeOf(appendErr) },
        'a refused launch could not be recorded yet',
      )
    }
    throw err
  }

  /** One write and one extend for all of them; nothing where there is none. */
  async #appendBefore(log: LogWriter, measured: Measured): Promise<void> {
    const records = measured.before(log.summary)
    if (records.length > 0) await log.append(records)
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

  #allowed(log: LogWriter, measured: Measured, record: AppendedRecord): LaunchAllowed {
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
