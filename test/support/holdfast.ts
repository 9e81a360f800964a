import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The project's root directory, with a slash at its end. */
export const PROJECT_ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** The built executable, as it is installed on a node. */
export const HOLDFAST_PROGRAM = `${PROJECT_ROOT}build/holdfast`
/** What it starts Node with. */
export const HOLDFAST = `${PROJECT_ROOT}build/holdfast.js`

/** How a command ended. */
export interface Ran {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end; a signal counts as 128 + its number would, namely as 255. Never rejects for a status. */
export function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<Ran> {
  return new Promise((resolve, reject) => {
    execFile(program, [...args], { env, maxBuffer: 64 << 20 }, (err, stdout, stderr) => {
      if (err !== null && typeof err.code !== 'number' && err.signal === undefined) reject(err)
      else resolve({ status: err === null ? 0 : typeof err.code === 'number' ? err.code : 255, stdout, stderr })
    })
  })
}

/**
 * A service with its standard error in a file. It is in a process group of its own: Ctrl-C is the caller's to handle.
 */
export class Service {
  readonly name: string
  readonly logFile: string
  readonly #child: ChildProcess
  readonly #ended: Promise<number | string>

  private constructor(name: string, logFile: string, child: ChildProcess) {
    this.name = name
    this.logFile = logFile
    this.#child = child
    this.#ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'))
    })
    this.#ended.catch(() => {}) // told to whoever waits: waitUntil() or stop()
  }

  static start(
    name: string,
    logFile: string,
    program: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = process.env,
  ): Service {
    const log = openSync(logFile, 'a')
    try {
      const child = spawn(program, args, { stdio: ['ignore', log, log], env, detached: true })
      return new Service(name, logFile, child)
    } finally {
      closeSync(log)
    }
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} was not started`)
    return this.#child.pid
  }

  /** Lets this process end while the service goes on. */
  unref(): void {
    this.#child.unref()
  }

  /**
   * Asks until the answer is not undefined.
   * @throws Error with the end of the log when the service ends first, or after `timeoutMs`
   */
  async waitUntil<T>(what: string, ask: () => Promise<T | undefined>, timeoutMs = 20_000): Promise<T> {
    const until = Date.now() + timeoutMs
    let end: number | string | undefined
    this.#ended.then(
      (status) => (end = status),
      (err) => (end = String(err)),
    )
    for (;;) {
      const answer = await ask()
      if (answer !== undefined) return answer
      if (end !== undefined) throw new Error(`${this.name} ended with ${end} before ${what}:\n${this.logTail()}`)
      if (Date.now() > until) throw new Error(`${this.name}: no ${what} in ${timeoutMs} ms:\n${this.logTail()}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  /** The last lines of its log. */
  logTail(lines = 15): string {
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  }

  /** Resolves with the exit status or signal name when it has ended. */
  ended(): Promise<number | string> {
    return this.#ended
  }

  /** Sends a signal and waits for the end; SIGKILL follows when that takes longer than `graceMs`. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 10_000): Promise<number | string> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal)
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), graceMs)
    try {
      return await this.#ended
    } finally {
      clearTimeout(timer)
    }
  }
}
