/** What the end of running pods hangs on, beside the verifier's own word. */
export interface SilenceWatchOptions {
  /** After so long without an answer of the verifier pods are ended. */
  readonly afterMs: number
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number
  /** Ends what runs; called again and again while the silence lasts. */
  readonly onSilence: (reason: string) => void
}

/** How often it is looked whether the silence has become too long. */
const LOOK_MS = 5000

/**
 * Ends pods on a node that the verifier does not answer any more: for the verifier it is stale then, and cannot be told to stop them. What counts is an
 * answer to evidence, a launch or a renewal on a connection on which this node has proved itself; the connection alone does not. Before the first one
 * the time is counted from the agent's start, so that a new agent is no reprieve of more than that.
 */
export class SilenceWatch {
  readonly #options: SilenceWatchOptions
  readonly #timer: NodeJS.Timeout
  #heardMs: number

  constructor(options: SilenceWatchOptions) {
    this.#options = options
    this.#heardMs = options.nowMs()
    this.#timer = setInterval(() => this.look(), LOOK_MS)
  }

  /** The verifier has answered. */
  heard(): void {
    this.#heardMs = this.#options.nowMs()
  }

  look(): void {
    const { afterMs, nowMs, onSilence } = this.#options
    const silentMs = nowMs() - this.#heardMs
    if (silentMs < afterMs) return
    onSilence(
      `no answer of the verifier for ${Math.floor(silentMs / 1000)} s (stopPodsAfterSilenceSeconds: ${afterMs / 1000})`,
    )
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
