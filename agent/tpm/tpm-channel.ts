import { type ChildProcess, spawn } from 'node:child_process'
import { Duplex } from 'node:stream'
import { messageOf } from '../../attestation/base/index.ts'
import { decodeAnswer, encodeRequest, FrameReader } from './frames.ts'
import type { TpmAnswer, TpmRequest } from './messages.ts'
import { CHANNEL_FD } from './tpm-channel-fd.ts'

/** How to start the TPM process: the program must call runTpmProcess(). */
export interface TpmProcessCommand {
  readonly file: string
  readonly args: readonly string[]
}

/** What a channel reports. `onEnd` comes once, with a reason in words. */
export interface TpmChannelEvents {
  onAnswer(answer: TpmAnswer): void
  onEnd(reason: string): void
}

/** One TPM process and the socket pair to it. */
export class TpmChannel {
  readonly #child: ChildProcess
  readonly #stream: Duplex
  readonly #events: TpmChannelEvents
  readonly #reader = new FrameReader()
  readonly #outgoing: Buffer[] = []
  #ended = false
  /** Settles when the process is gone. */
  readonly gone: Promise<void>

  constructor(command: TpmProcessCommand, events: TpmChannelEvents) {
    this.#events = events
    const stdio: ('ignore' | 'inherit' | 'pipe')[] = ['ignore', 'inherit', 'inherit']
    stdio[CHANNEL_FD] = 'pipe'
    // In a session of its own, so that Ctrl-C in a terminal leaves it to the agent to close the TPM.
    this.#child = spawn(command.file, command.args, { stdio, detached: true })
    const stream = this.#child.stdio[CHANNEL_FD]
    if (!(stream instanceof Duplex)) throw new TypeError('the channel to the TPM process is not a socket')
    this.#stream = stream
    this.gone = new Promise((resolve) => {
      this.#child.once('error', (err) => {
        this.#end(`cannot be started: ${messageOf(err)}`)
        resolve()
      })
      this.#child.once('exit', (code, signal) => {
        this.#end(signal === null ? `ended with status ${code}` : `was ended by ${signal}`)
        resolve()
      })
    })
    stream.on('data', (piece: Buffer) => this.#receive(piece))
    stream.on('error', (err) => this.kill(`channel failed: ${messageOf(err)}`))
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Requests that are made in one go are written in one go. */
  send(request: TpmRequest): void {
    if (this.#outgoing.push(encodeRequest(request)) > 1) return
    queueMicrotask(() => {
      const frames = this.#outgoing.splice(0)
      this.#stream.write(frames.length === 1 ? frames[0] : Buffer.concat(frames))
    })
  }

  /** Ends the process whatever it is doing; only SIGKILL interrupts a call into a TPM that hangs. */
  kill(reason: string): void {
    this.#end(reason)
    this.#child.kill('SIGKILL')
  }

  #receive(piece: Buffer): void {
    try {
      for (const frame of this.#reader.push(piece)) {
        if (!this.#ended) this.#events.onAnswer(decodeAnswer(frame))
      }
    } catch (err) {
      this.kill(`sent what cannot be read: ${messageOf(err)}`)
    }
  }

  #end(reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#events.onEnd(reason)
  }
}
