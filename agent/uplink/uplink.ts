import { messageOf } from '../../attestation/base/index.ts'
import type { TrustedVerifier } from '../config/index.ts'
import type { SessionState } from '../enrolment.ts'
import type { UplinkStatus } from '../local-api/index.ts'
import { returnDelay } from './backoff.ts'
import { type DialedVerifier, dialVerifier } from './dial.ts'
import { UplinkError } from './errors.ts'
import { type AttestationResult, Session, type SessionOptions } from './session.ts'

export interface UplinkOptions extends Omit<SessionOptions, 'onState' | 'onResult' | 'onEnded'> {
  readonly trust: TrustedVerifier
  /** In [0, 1), for the jitter. */
  readonly random: () => number
  /** How a connection is made; `dialVerifier` outside of tests. */
  readonly dial?: (trust: TrustedVerifier, signal: AbortSignal) => Promise<DialedVerifier>
  /** Whether the TPM has the attestation key of `identity` still; asked before each connection but the first. */
  readonly hasKey?: () => Promise<boolean>
  /** Told once when it has not. Nothing is connected any more then. */
  readonly onKeyLost?: () => void
}

/** Keeps one session with the verifier, reconnecting with back-off for as long as the agent runs. */
export class Uplink {
  readonly #options: UplinkOptions
  readonly #stopping = new AbortController()
  #session: Session | undefined
  #status: UplinkStatus = { state: 'enrolling' }
  #lastResult: { readonly at: Date; readonly result: AttestationResult } | undefined
  #failures = 0
  #loss: UplinkError | undefined
  #timer: NodeJS.Timeout | undefined
  #waiters: (() => void)[] = []

  constructor(options: UplinkOptions) {
    this.#options = options
  }

  /** Begins to connect; returns at once. */
  start(): void {
    void this.#connect()
  }

  get status(): UplinkStatus {
    return this.#status
  }

  get lastResult(): { readonly at: Date; readonly result: AttestationResult } | undefined {
    return this.#lastResult
  }

  /**
   * The session, once it is ready to ask for a launch: waits for one that is in the making, not for a verifier that is not there.
   * @throws UplinkError UPLINK_PENDING, UPLINK_TIMEOUT, UPLINK_STOPPING, or why the last connection failed
   */
  async ready(timeoutMs: number): Promise<Session> {
    const deadline = this.#options.nowMs() + timeoutMs
    for (;;) {
      if (this.#session?.ready) return this.#session
      const status = this.#status
      const left = deadline - this.#options.nowMs()
      if (this.#stopping.signal.aborted) throw new UplinkError('UPLINK_STOPPING', 'the agent is stopping')
      if (status.state === 'pending') {
        throw new UplinkError('UPLINK_PENDING', `the verifier has not admitted this node: ${status.message}`)
      }
      // A connection that was lost just now is worth waiting for; a verifier that could not be reached again is not.
      if (status.state === 'unreachable' && this.#failures > 1 && this.#loss !== undefined) {
        throw new UplinkError(this.#loss.code, `no verifier: ${this.#loss.message}`, { cause: this.#loss })
      }
      if (left <= 0)
        throw new UplinkError('UPLINK_TIMEOUT', `the verifier did not let this node in within ${timeoutMs} ms`)
      await this.#changed(left)
    }
  }

  /** Shows the verifier the log and the register soon. */
  reportSoon(): void {
    this.#session?.reportSoon()
  }

  /** Ends the session and never connects again. */
  stop(): void {
    this.#stopping.abort()
    clearTimeout(this.#timer)
    this.#session?.end(new UplinkError('UPLINK_STOPPING', 'the agent is stopping'))
    this.#wake()
  }

  async #connect(): Promise<void> {
    const { trust, dial = dialVerifier, hasKey, onKeyLost } = this.#options
    if (this.#failures > 0 && (await hasKey?.()) === false) {
      onKeyLost?.()
      return
    }
    if (this.#stopping.signal.aborted) return
    this.#setStatus({ state: 'enrolling' })
    let dialed: DialedVerifier
    try {
      dialed = await dial(trust, this.#stopping.signal)
    } catch (err) {
      this.#lost(
        err instanceof UplinkError ? err : new UplinkError('UPLINK_UNREACHABLE', messageOf(err), { cause: err }),
      )
      return
    }
    if (this.#stopping.signal.aborted) {
      dialed.ws.terminate()
      return
    }
    this.#session = new Session(dialed, {
      ...this.#options,
      onState: (state) => this.#onState(state),
      onResult: (result) => {
        this.#lastResult = { at: new Date(), result }
        const level = result.tier === 'affirming' ? 'debug' : 'warn'
        this.#options.logger[level]({ tier: result.tier, findings: result.findings.length }, 'attestation result')
      },
      onEnded: (reason) => {
        this.#session = undefined
        this.#lost(reason)
      },
    })
  }

  #onState(state: SessionState): void {
    if (state.phase === 'ready') {
      this.#failures = 0
      this.#options.logger.info({ url: this.#options.trust.url }, 'connected to the verifier, node proved')
      this.#setStatus({ state: 'connected', since: new Date().toISOString() })
    } else if (state.phase === 'pending') {
      this.#options.logger.warn(
        { code: 'UPLINK_PENDING', reason: state.message },
        'waiting for an operator to admit this node',
      )
      this.#setStatus({ state: 'pending', message: state.message })
    } else if (state.phase !== 'failed') {
      this.#setStatus({ state: 'enrolling' })
    }
  }

  #lost(reason: UplinkError): void {
    if (this.#stopping.signal.aborted) return
    this.#failures++
    this.#loss = reason
    const delayMs = returnDelay(this.#failures, this.#options.random(), reason.retryAfterMs)
    const { code, message } = reason
    this.#options.logger.warn({ code, reason: message, retryMs: delayMs, failures: this.#failures }, 'no verifier')
    const retryAt = new Date(Date.now() + delayMs).toISOString()
    this.#setStatus({ state: 'unreachable', code, message, retryAt })
    this.#timer = setTimeout(() => void this.#connect(), delayMs)
  }

  #setStatus(status: UplinkStatus): void {
    this.#status = status
    this.#wake()
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }

  #changed(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs)
      this.#waiters.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}
