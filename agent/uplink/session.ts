import type { Logger } from 'pino'
import { CodedError, codeOf, messageOf } from '../../attestation/base/index.ts'
import {
  type AgentMessage,
  activationProof,
  encodeMessage,
  selectionFromWire,
  type VerifierMessage,
} from '../../attestation/protocol/index.ts'
import type { PcrSelection } from '../../attestation/tpm2/index.ts'
import type { Attester, KnownLog, QuotedFrame } from '../attester.ts'
import { type Outstanding, SESSION_START, type SessionEffect, type SessionState, stepSession } from '../enrolment.ts'
import type { NodeIdentity } from '../identity.ts'
import type { LaunchLog, LogWriter, TpmStart } from '../launch-log/index.ts'
import { Mutex } from '../mutex.ts'
import type { Tpm } from '../ports.ts'
import { Connection } from './connection.ts'
import type { DialedVerifier } from './dial.ts'
import { UplinkError } from './errors.ts'

/** A nonce lives 60 s at the verifier, and some of them on the way. Older than this it is renewed. */
const NONCE_FRESH_MS = 45_000
/** Enrolment, and each answer of the verifier, take at most this. */
const ANSWER_TIMEOUT_MS = 10_000

type Challenge = Extract<VerifierMessage, { t: 'challenge' }>
export type AttestationResult = Extract<VerifierMessage, { t: 'result' }>
export type LaunchAnswer = Extract<VerifierMessage, { t: 'ticket' | 'denied' }>
type Answer = AttestationResult | LaunchAnswer | Extract<VerifierMessage, { t: 'renewed' }>

export interface SessionOptions {
  readonly identity: NodeIdentity
  readonly hello: Extract<AgentMessage, { t: 'hello' }>
  /** 32 bytes. */
  readonly verifierId: Uint8Array
  readonly tpm: Pick<Tpm, 'activateCredential'>
  readonly attester: Attester
  readonly launchLog: LaunchLog
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number
  readonly logger: Logger
  readonly onState: (state: SessionState) => void
  readonly onResult: (result: AttestationResult) => void
  /** The verifier has answered, on a connection on which this node has proved itself. */
  readonly onAnswer: () => void
  /** The verifier wants all running pods ended. */
  readonly onStopPods: (reason: string) => void
  /** The AK certificate that the verifier's CA issued, DER. */
  readonly onCertificate: (akCertificate: Uint8Array) => void
  readonly onEnded: (reason: UplinkError) => void
}

interface Waiting {
  readonly resolve: (message: Answer) => void
  readonly reject: (reason: UplinkError) => void
}

/**
 * One connection from hello to its end. Everything that uses a nonce goes through one queue, always in the order queue, then launch
 * log, so that the two cannot wait for each other.
 */
export class Session {
  readonly #options: SessionOptions
  readonly #connection: Connection
  readonly #exchanges = new Mutex()
  #state: SessionState = SESSION_START
  #selection: readonly PcrSelection[] = []
  /** What the verifier has of the log, by the message of it that came last. */
  #known: KnownLog = { resetCount: 0, restartCount: 0, offset: 0, machineLogs: [] }
  /** Of the log in the quote that was made last: what the verifier's answer speaks of. */
  #quotedStart: TpmStart = { resetCount: 0, restartCount: 0 }
  #nonce: { readonly bytes: Uint8Array; readonly atMs: number } | undefined
  #waiting: Waiting | undefined
  #challenge: Challenge | undefined
  #launches = 0
  #reporting = false
  #refresh: NodeJS.Timeout | undefined
  #enrolTimer: NodeJS.Timeout

  constructor(dialed: DialedVerifier, options: SessionOptions) {
    this.#options = options
    this.#enrolTimer = setTimeout(() => this.#enrolTimedOut(), ANSWER_TIMEOUT_MS)
    this.#connection = new Connection(dialed, {
      message: (message) => this.#received(message),
      ended: (reason) => this.#ended(reason),
    })
    this.#connection.send(encodeMessage(options.hello))
  }

  get ready(): boolean {
    return this.#state.phase === 'ready' && !this.#connection.ended
  }

  /** How many exchanges run or wait. */
  get load(): number {
    return this.#exchanges.load
  }

  end(reason: UplinkError): void {
    this.#connection.end(reason)
  }

  /** Runs `work` while nobody else uses this session's nonces. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.#exchanges.run(work)
  }

  /**
   * Makes sure that a fresh nonce is in hand; inside exclusive(), and before the launch log is held.
   * @throws UplinkError
   */
  async prepare(): Promise<void> {
    this.#checkReady()
    if (this.#nonceAge() > NONCE_FRESH_MS) await this.#renew()
  }

  /**
   * Asks for one launch; inside exclusive(), after prepare(), and holding the launch log.
   *
   * @param request the launch request's bytes
   * @throws UplinkError UPLINK_TIMEOUT, UPLINK_CLOSED and others; AttestError; the TPM's own errors
   */
  async launch(log: LogWriter, request: Uint8Array, timeoutMs: number): Promise<LaunchAnswer> {
    this.#checkReady()
    this.#launches = (this.#launches + 1) >>> 0
    const id = this.#launches
    const quoted = await this.#quoted(log, { t: 'launch', id, request }, this.#nonceInHand())
    if (quoted.more) {
      this.reportSoon()
      throw new UplinkError('UPLINK_UNREACHABLE', 'the verifier has not yet received all logs; try again')
    }
    this.#nonce = undefined
    const answer = await this.#exchange(quoted.frame, { launch: id }, timeoutMs)
    if (answer.t === 'result' || answer.t === 'renewed')
      throw new TypeError('the state machine lets no other answer in')
    return answer
  }

  /** Shows the verifier the log and the register soon, after whatever waits already. Several calls give one report. */
  reportSoon(): void {
    if (this.#reporting || !this.ready) return
    this.#reporting = true
    this.#inBackground(async () => {
      this.#reporting = false
      if (!this.ready) return
      await this.prepare()
      await this.#sendEvidence('periodic', this.#takeNonce())
    })
  }

  #received(message: VerifierMessage): void {
    const { state, effects } = stepSession(this.#state, { kind: 'received', message }, this.#options.identity.nodeId)
    this.#setState(state)
    if (state.phase === 'failed') {
      this.end(new UplinkError(state.code, state.message, { retryAfterMs: state.retryAfterMs }))
      return
    }
    for (const effect of effects) this.#carryOut(effect)
  }

  #setState(state: SessionState): void {
    const changed = state.phase !== this.#state.phase
    this.#state = state
    if (!changed) return
    if (state.phase === 'ready' || state.phase === 'pending') clearTimeout(this.#enrolTimer)
    if (state.phase === 'admitted') this.#enrolTimer.refresh()
    this.#options.onState(state)
  }

  #carryOut(effect: SessionEffect): void {
    switch (effect.do) {
      case 'activate':
        this.#inBackground(() => this.#activate(effect.idObject, effect.encryptedSecret))
        return
      case 'answer':
        this.#answer(effect.challenge)
        return
      case 'deliver': {
        const { message } = effect
        this.#nonce = { bytes: message.nonce, atMs: this.#options.nowMs() }
        if (message.t !== 'renewed') {
          this.#known = { ...this.#quotedStart, offset: message.logOffset, machineLogs: message.machineLogs }
        }
        this.#scheduleRefresh()
        this.#options.onAnswer()
        const waiting = this.#waiting
        this.#waiting = undefined
        if (message.t === 'result') this.#options.onResult(message)
        waiting?.resolve(message)
        return
      }
      case 'stop-pods':
        this.#options.onStopPods(effect.reason)
        return
      case 'keep-certificate':
        this.#options.onCertificate(effect.akCertificate)
        return
      default:
        effect satisfies never
    }
  }

  async #activate(idObject: Uint8Array, encryptedSecret: Uint8Array): Promise<void> {
    const { tpm, identity } = this.#options
    const secret = await tpm.activateCredential(idObject, encryptedSecret)
    const proof = activationProof(secret, this.#connection.exporter, identity.akName)
    this.#connection.send(encodeMessage({ t: 'activation', proof }))
  }

  /** Answers the latest challenge; one that came before it and waits still is forgotten, as the verifier has forgotten it. */
  #answer(challenge: Challenge): void {
    const queued = this.#challenge !== undefined
    this.#challenge = challenge
    // Now, not when its turn comes: the answer to an exchange before it will know more of the log than it does.
    this.#known = { ...challenge.log, machineLogs: challenge.machineLogs }
    if (queued) return
    this.#inBackground(async () => {
      const latest = this.#challenge
      this.#challenge = undefined
      if (latest === undefined || this.#connection.ended) return
      this.#selection = selectionFromWire(latest.selection)
      await this.#sendEvidence(latest.purpose, latest.nonce)
    })
  }

  /** One round of evidence. Of a long log it carries a piece; the verifier asks for the next one by a challenge. */
  async #sendEvidence(purpose: 'session' | 'periodic', nonce: Uint8Array): Promise<void> {
    const subject = { t: 'evidence', purpose } as const
    const quoted = await this.#options.launchLog.exclusive((log) => this.#quoted(log, subject, nonce))
    await this.#exchange(quoted.frame, 'evidence', ANSWER_TIMEOUT_MS)
  }

  /** Another nonce, and nothing else: when the node proves itself is the verifier's to say. */
  async #renew(): Promise<void> {
    await this.#exchange(encodeMessage({ t: 'renew' }), 'renewal', ANSWER_TIMEOUT_MS)
  }

  async #quoted(log: LogWriter, subject: Parameters<Attester['quoted']>[1], nonce: Uint8Array): Promise<QuotedFrame> {
    const { attester, verifierId } = this.#options
    const challenge = { verifierId, exporter: this.#connection.exporter, nonce, selection: this.#selection }
    const { resetCount, restartCount } = log.start
    const quoted = await attester.quoted(log, subject, challenge, this.#known)
    this.#quotedStart = { resetCount, restartCount }
    return quoted
  }

  #exchange(frame: Uint8Array, what: Exclude<Outstanding, 'nothing'>, timeoutMs: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.end(new UplinkError('UPLINK_TIMEOUT', `the verifier did not answer within ${timeoutMs} ms`))
      }, timeoutMs)
      this.#waiting = {
        resolve: (message) => {
          clearTimeout(timer)
          resolve(message)
        },
        reject: (reason) => {
          clearTimeout(timer)
          reject(reason)
        },
      }
      try {
        this.#connection.send(frame)
      } catch (err) {
        clearTimeout(timer)
        this.#waiting = undefined
        reject(err)
        return
      }
      this.#setState(stepSession(this.#state, { kind: 'sent', what }, this.#options.identity.nodeId).state)
    })
  }

  /** Stays in hand until a quote over it has been made: what fails before that costs no connection. */
  #nonceInHand(): Uint8Array {
    if (this.#nonce === undefined) throw new UplinkError('UPLINK_UNREACHABLE', 'no nonce of the verifier is in hand')
    return this.#nonce.bytes
  }

  #takeNonce(): Uint8Array {
    const nonce = this.#nonceInHand()
    this.#nonce = undefined
    return nonce
  }

  #nonceAge(): number {
    return this.#nonce === undefined ? Number.POSITIVE_INFINITY : this.#options.nowMs() - this.#nonce.atMs
  }

  /** Keeps a fresh nonce in hand when the verifier's own challenges are far apart. */
  #scheduleRefresh(): void {
    clearTimeout(this.#refresh)
    this.#refresh = setTimeout(() => {
      this.#inBackground(async () => {
        if (this.ready) await this.#renew()
      })
    }, NONCE_FRESH_MS)
  }

  #checkReady(): void {
    if (!this.ready) throw new UplinkError('UPLINK_CLOSED', 'the connection to the verifier has ended')
  }

  /** What nobody waits for: an error of it ends the connection, and the next one starts over. */
  #inBackground(work: () => Promise<void>): void {
    this.#exchanges.run(work).catch((err: unknown) => {
      if (this.#connection.ended) return
      this.#options.logger.warn({ err, code: codeOf(err) }, 'evidence could not be given')
      this.end(asUplinkError(err))
    })
  }

  #enrolTimedOut(): void {
    this.end(new UplinkError('UPLINK_TIMEOUT', `the verifier did not finish the login within ${ANSWER_TIMEOUT_MS} ms`))
  }

  #ended(reason: UplinkError): void {
    clearTimeout(this.#enrolTimer)
    clearTimeout(this.#refresh)
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.reject(reason)
    this.#options.onEnded(reason)
  }
}

function asUplinkError(err: unknown): UplinkError {
  if (err instanceof UplinkError) return err
  const code = err instanceof CodedError ? `${err.code}: ` : ''
  return new UplinkError('UPLINK_CLOSED', `evidence could not be made: ${code}${messageOf(err)}`, { cause: err })
}
