import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

/** A pod whose app says the same text again and again. */
export class SpeakingPod {
  /** Exit status and everything that was said. */
  readonly ended: Promise<readonly [status: number | null, said: string]>
  readonly #child: ChildProcess
  readonly #text: string
  #said = ''

  constructor(program: string, args: readonly string[], text: string) {
    this.#text = text
    this.#child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child.stdout?.on('data', (piece: Buffer) => {
      this.#said += piece.toString()
      this.#child.emit('said')
    })
    this.ended = once(this.#child, 'close').then(([status]) => [typeof status === 'number' ? status : null, this.#said])
  }

  /** Resolves when it has said its text so often. @throws Error when it ends before */
  async hasSaid(times: number): Promise<void> {
    while (this.#said.length < this.#text.length * times) {
      const end = await Promise.race([once(this.#child, 'said').then(() => undefined), this.ended])
      if (end !== undefined) throw new Error(`ended with ${end[0]} after ${JSON.stringify(end[1])}`)
    }
  }

  kill(): void {
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL')
  }
}
