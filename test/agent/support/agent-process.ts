import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** An agent in a process of its own, which can be killed. */
export class AgentProcess {
  /** Its log, parsed; other lines as { text }. */
  readonly lines: Record<string, unknown>[] = []
  readonly ended: Promise<unknown>
  readonly #child: ChildProcess
  readonly #wake = new Set<() => void>()

  constructor(configFile: string) {
    const entry = fileURLToPath(new URL('../../../holdfast.ts', import.meta.url))
    const child = spawn(process.execPath, ['--import=tsx', entry, 'agent', '--config', configFile], {
      stdio: ['ignore', 'inherit', 'pipe'],
    })
    this.#child = child
    this.ended = once(child, 'exit').then((status) => {
      this.#wakeAll()
      return status
    })
    createInterface({ input: child.stderr }).on('line', (line) => {
      this.lines.push(line.startsWith('{') ? JSON.parse(line) : { text: line })
      this.#wakeAll()
    })
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Waits for a line of the log. @throws Error when the agent ends before */
  async says(message: string): Promise<void> {
    while (!this.lines.some((l) => l['msg'] === message)) {
      if (!this.running) throw new Error(`the agent ended: ${JSON.stringify(this.lines.slice(-5))}`)
      await new Promise<void>((resolve) => this.#wake.add(resolve))
    }
  }

  kill(signal: 'SIGKILL' | 'SIGTERM'): void {
    this.#child.kill(signal)
  }

  async stop(signal: 'SIGKILL' | 'SIGTERM' = 'SIGTERM'): Promise<number | null> {
    if (this.running) this.kill(signal)
    await this.ended
    return this.#child.exitCode
  }

  #wakeAll(): void {
    for (const wake of this.#wake) wake()
    this.#wake.clear()
  }
}
