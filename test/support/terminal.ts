import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'

const SCRIPT = '/usr/bin/script'

/** What shells read as one word. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}

/** A terminal of its own, made by script(1), in which a shell runs a line; a test is who sits before it. */
export class Terminal {
  readonly #child: ChildProcess
  readonly #closed: Promise<unknown>
  #shown = ''
  #device = ''

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#closed = once(child, 'close')
    child.stdout?.on('data', (part: Buffer) => {
      this.#shown += part.toString('utf8')
    })
  }

  /** Why there can be none here; undefined where there can. */
  static impossible(): string | undefined {
    return existsSync(SCRIPT) ? undefined : 'no script(1)'
  }

  /** @param line of sh; it starts when the terminal has the size */
  static async start(line: string, rows: number, columns: number): Promise<Terminal> {
    const ready = `stty rows ${rows} cols ${columns}; echo terminal=$(tty)=; ${line}`
    const env = { ...process.env, SHELL: '/bin/sh', TERM: 'vt100' }
    const child = spawn(SCRIPT, ['-qec', ready, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'], env })
    const terminal = new Terminal(child)
    terminal.#device = (await terminal.shows(/terminal=(\/dev\/pts\/[0-9]+)=/))[1] ?? ''
    return terminal
  }

  type(text: string): void {
    this.#child.stdin?.write(text)
  }

  /** As dragging the corner of its window does. */
  resize(rows: number, columns: number): void {
    execFileSync('stty', ['-F', this.#device, 'rows', String(rows), 'cols', String(columns)])
  }

  /**
   * Waits until it shows what was not waited for before.
   * @throws Error where what runs in it ends first
   */
  async shows(wanted: RegExp): Promise<RegExpExecArray> {
    const ended = this.#closed.then(() => true)
    for (;;) {
      const found = wanted.exec(this.#shown)
      if (found !== null) {
        this.#shown = this.#shown.slice(found.index + found[0].length)
        return found
      }
      const more = this.#child.stdout === null ? ended : once(this.#child.stdout, 'data').then(() => false)
      if (await Promise.race([ended, more])) throw new Error(`ended before it showed ${wanted}: ${this.#shown}`)
    }
  }

  /** @returns the exit status of the line */
  async ended(): Promise<number | null> {
    await this.#closed
    return this.#child.exitCode
  }

  /** Closes it: what still runs in it is hung up on. */
  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL')
    await this.#closed
  }
}
