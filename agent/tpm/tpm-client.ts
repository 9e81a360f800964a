import type { Digest, PcrIndex, PcrSelection, PcrValue } from '../../attestation/tpm2/index.ts'
import type { ClockReading, QuoteBytes, Tpm, TpmDescription, TpmIdentity } from '../ports.ts'
import { FATAL_CODES, type TpmAnswer, type TpmOperation, type TpmRequest } from './messages.ts'
import { TpmChannel, type TpmProcessCommand } from './tpm-channel.ts'
import { TpmError } from './tpm-error.ts'

/** Milliseconds that a call may take once it is its turn. */
export interface TpmDeadlines {
  /** Starting the process and connecting. */
  readonly openMs: number
  /** Everything that makes no key. */
  readonly callMs: number
  /** What may have to make the EK or the AK, the start of the session among it; RSA keys take a TPM up to a minute. */
  readonly keyMs: number
}

const DEFAULT_TPM_DEADLINES: TpmDeadlines = { openMs: 15_000, callMs: 10_000, keyMs: 120_000 }

export interface TpmClientOptions {
  /** TCTI loader string, e.g. 'device:/dev/tpmrm0'. */
  readonly tcti: string
  /** Starts a program that calls runTpmProcess(). */
  readonly command: TpmProcessCommand
  readonly deadlines?: TpmDeadlines
}

interface Pending {
  readonly request: TpmRequest
  readonly deadlineMs: number
  readonly resolve: (value: unknown) => void
  readonly reject: (err: TpmError) => void
}

/**
 * The node's TPM through a process that can be killed. Calls are sent at once and answered in order; a call whose deadline
 * passes, counted from when it is its turn, takes the process with it, and the next call starts another.
 *
 * A TPM that was restarted in between is never used silently: from the first sign of it every call is refused with
 * TPM_RESTARTED until readClock() has told the caller the new counters.
 */
export class TpmClient implements Tpm {
  readonly #options: TpmClientOptions
  readonly #deadlines: TpmDeadlines
  readonly #pending: Pending[] = []
  #channel: TpmChannel | undefined
  #previous: Promise<void> = Promise.resolve()
  #ready = false
  #sent = 0
  #timer: NodeJS.Timeout | undefined
  #timerDue = 0
  #due = 0
  /** Counters that the caller knows of, and those that the present process found when it opened the TPM. */
  #start: Counters | undefined
  #opened: Counters | undefined
  #restarted = false
  #closed = false

  constructor(options: TpmClientOptions) {
    this.#options = options
    this.#deadlines = options.deadlines ?? DEFAULT_TPM_DEADLINES
  }

  /** Process id of the TPM process, while there is one. */
  get processId(): number | undefined {
    return this.#channel?.pid
  }

  describe(): Promise<TpmDescription> {
    return this.#call('describe', [], this.#deadlines.callMs)
  }

  async readClock(): Promise<ClockReading> {
    const clock = await this.#call('readClock', [], this.#deadlines.callMs)
    this.#start = clock
    this.#restarted = false
    const before = this.#opened
    // What the process holds, keys and sessions, may belong to the TPM's former life.
    if (before !== undefined && !isSameStart(before, clock)) this.#fail(this.#channel, restartedError())
    return clock
  }

  readPcrs(selection: readonly PcrSelection[]): Promise<readonly PcrValue[]> {
    return this.#call('readPcrs', [selection], this.#deadlines.callMs)
  }

  extend(pcr: PcrIndex, digests: readonly Digest[]): Promise<void> {
    return this.#call('extend', [pcr, digests], this.#deadlines.callMs)
  }

  provisionIdentity(): Promise<TpmIdentity> {
    return this.#call('provisionIdentity', [], this.#deadlines.keyMs)
  }

  activateCredential(idObject: Uint8Array, encryptedSecret: Uint8Array): Promise<Uint8Array> {
    return this.#call('activateCredential', [idObject, encryptedSecret], this.#deadlines.keyMs)
  }

  quote(extraData: Uint8Array, selection: readonly PcrSelection[]): Promise<QuoteBytes> {
    return this.#call('quote', [extraData, selection], this.#deadlines.callMs)
  }

  /** Lets the calls already made finish, then ends the process; it is gone when this settles. */
  async close(): Promise<void> {
    if (!this.#closed && this.#channel !== undefined) {
      const closing = this.#enqueue({ op: 'close' }, this.#deadlines.callMs)
      this.#closed = true
      await closing.catch(() => {}) // a process that does not close in time was killed, and the calls before have their errors
    }
    this.#closed = true
    this.#discard('the TPM was closed')
    await this.#previous
  }

  #call<Op extends TpmOperation>(op: Op, args: Parameters<Tpm[Op]>, deadlineMs: number): ReturnType<Tpm[Op]> {
    // Operation and arguments belong together by this signature, and the process answers with what its Tpm of the same interface gave.
    const request = { op, args } as unknown as TpmRequest
    return this.#enqueue(request, deadlineMs) as ReturnType<Tpm[Op]>
  }

  #enqueue(request: TpmRequest, deadlineMs: number): Promise<unknown> {
    if (this.#closed) return Promise.reject(new TpmError('TPM_CLOSED', 'the TPM is closed'))
    if (this.#restarted && request.op !== 'readClock' && request.op !== 'close') return Promise.reject(restartedError())
    return new Promise((resolve, reject) => {
      if (this.#channel === undefined) this.#open()
      this.#pending.push({ request, deadlineMs, resolve, reject })
      this.#flush()
    })
  }

  /** Starts a process; the calls wait until it is known which start of the TPM it has reached. */
  #open(): void {
    const { tcti, command } = this.#options
    const channel: TpmChannel = new TpmChannel(command, {
      onAnswer: (answer) => this.#settle(answer),
      onEnd: (reason) => this.#fail(channel, new TpmError('TPM_PROCESS_FAILED', `the TPM process ${reason}`)),
    })
    this.#channel = channel
    this.#ready = false
    this.#sent = 0
    this.#previous = Promise.all([this.#previous, channel.gone]).then(() => {})
    // The calls that wait get the errors of these two: see #settle().
    const reject = () => {}
    const opening: Pending = {
      request: { op: 'open', tcti },
      deadlineMs: this.#deadlines.openMs,
      resolve: () => {},
      reject,
    }
    // The first look at the clock starts the session.
    const looking: Pending = {
      request: { op: 'readClock', args: [] },
      deadlineMs: this.#deadlines.keyMs,
      resolve: (value) => this.#becomeReady(value as ClockReading), // what Tpm.readClock gives
      reject,
    }
    this.#pending.unshift(opening, looking)
    this.#sendNext()
    this.#sendNext()
    this.#armTimer()
  }

  #becomeReady(clock: Counters): void {
    this.#ready = true
    this.#opened = clock
    this.#start ??= clock
    if (!isSameStart(this.#start, clock)) {
      this.#restarted = true
      for (const p of this.#pending.filter((one) => one.request.op !== 'readClock' && one.request.op !== 'close')) {
        this.#pending.splice(this.#pending.indexOf(p), 1)
        p.reject(restartedError())
      }
    }
    this.#flush()
  }

  #flush(): void {
    while (this.#ready && this.#sent < this.#pending.length) this.#sendNext()
  }

  #sendNext(): void {
    const next = this.#pending[this.#sent++]
    if (next !== undefined) this.#channel?.send(next.request)
    if (this.#sent === 1 && this.#ready) this.#armTimer()
  }

  #settle(answer: TpmAnswer): void {
    if (!answer.ok && FATAL_CODES.has(answer.code)) {
      const err = new TpmError(answer.code, answer.message, { rc: answer.rc })
      if (answer.code === 'TPM_RESTARTED') this.#restarted = true
      this.#fail(this.#channel, err)
      return
    }
    const first = this.#pending.shift()
    this.#sent--
    if (first === undefined) {
      this.#discard('the TPM process answered what was not asked')
      return
    }
    this.#armTimer()
    if (answer.ok) first.resolve(answer.value)
    else {
      const err = new TpmError(answer.code, answer.message, { rc: answer.rc })
      first.reject(err)
      if (!this.#ready) this.#fail(this.#channel, err)
    }
  }

  /** The clock runs for the call whose turn it is. Timers are slow: one that was set for an earlier call is kept, and looks again. */
  #armTimer(): void {
    const first = this.#pending[0]
    if (first === undefined) return
    this.#due = performance.now() + first.deadlineMs
    if (this.#timer === undefined || this.#timerDue > this.#due) this.#setTimer(first.deadlineMs)
  }

  #setTimer(delayMs: number): void {
    clearTimeout(this.#timer)
    this.#timerDue = performance.now() + delayMs
    this.#timer = setTimeout(() => this.#checkDeadline(), delayMs).unref() // the process that is waited for keeps us alive
  }

  #checkDeadline(): void {
    this.#timer = undefined
    const first = this.#pending[0]
    if (first === undefined) return
    const leftMs = this.#due - performance.now()
    if (leftMs > 0) {
      this.#setTimer(Math.ceil(leftMs))
      return
    }
    const seconds = first.deadlineMs / 1000
    const message = `the TPM did not answer ${first.request.op} within ${seconds} s; its process was killed. Check the TPM (dmesg), then try again`
    this.#fail(this.#channel, new TpmError('TPM_TIMEOUT', message))
  }

  /** Gives up a process: nobody knows which of the calls that it has were carried out. */
  #fail(channel: TpmChannel | undefined, err: TpmError): void {
    if (channel === undefined || channel !== this.#channel) return
    this.#discard(err.message)
    for (const p of this.#pending.splice(0)) p.reject(new TpmError(err.code, err.message, { cause: err, rc: err.rc }))
  }

  #discard(reason: string): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const channel = this.#channel
    this.#channel = undefined
    this.#opened = undefined
    channel?.kill(reason)
  }
}

type Counters = Pick<ClockReading, 'resetCount' | 'restartCount'>

function isSameStart(a: Counters, b: Counters): boolean {
  return a.resetCount === b.resetCount && a.restartCount === b.restartCount
}

function restartedError(): TpmError {
  const message = 'the TPM was reset or restarted since it was last used: its registers are new; read its clock first'
  return new TpmError('TPM_RESTARTED', message)
}
