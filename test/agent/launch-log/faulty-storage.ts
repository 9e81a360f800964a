import { LaunchLogError, type LogStorage, type StoredLog } from '../../../agent/launch-log/index.ts'
import { concatBytes } from '../../../attestation/base/index.ts'

/** What stops the agent at a step: nothing after it happens. */
export class Crash extends Error {}

interface Contents {
  /** What a process that reads the file sees. */
  seen: Uint8Array
  /** What is left when the machine crashes. */
  durable: Uint8Array
  mark: number
  durableMark: number
}

/**
 * Disk and TPM steps of one agent, counted. The agent can be stopped before any step, after it, or in the middle of a
 * write; then `survive` gives the disk that the next agent finds.
 */
export class Steps {
  /** Number of the step, counted from 0, and how much of it is still done. */
  stopAt: { readonly step: number; readonly done: 'nothing' | 'half' | 'all' } | undefined
  /** Steps that fail with this error instead of stopping the agent. */
  failAt: { readonly step: number; readonly error: Error; readonly done: 'nothing' | 'half' | 'all' } | undefined
  count = 0
  #dead = false

  async step(work: (part: 'half' | 'all') => void): Promise<void> {
    if (this.#dead) throw new Crash('the agent is dead')
    const number = this.count++
    const stop = this.stopAt?.step === number ? this.stopAt : undefined
    const fail = this.failAt?.step === number ? this.failAt : undefined
    const done = stop?.done ?? fail?.done ?? 'all'
    if (done !== 'nothing') work(done)
    if (stop !== undefined) {
      this.#dead = true
      throw new Crash(`stopped at step ${number}`)
    }
    if (fail !== undefined) throw fail.error
  }
}

/** Log files in memory that know what has been synced. */
export class FaultyDisk {
  readonly #files = new Map<string, Contents>()

  /**
   * The disk as the next agent finds it: after kill -9 with everything written, after a crash of the machine with what
   * was synced.
   */
  survive(what: 'process crash' | 'machine crash'): FaultyDisk {
    const next = new FaultyDisk()
    for (const [name, file] of this.#files) {
      const seen = what === 'process crash' ? file.seen : file.durable
      const mark = what === 'process crash' ? file.mark : file.durableMark
      next.#files.set(name, { seen, durable: seen, mark, durableMark: mark })
    }
    return next
  }

  names(): string[] {
    return [...this.#files.keys()]
  }

  bytes(name: string): Uint8Array {
    return this.#files.get(name)?.seen ?? new Uint8Array(0)
  }

  change(name: string, bytes: Uint8Array): void {
    const file = this.#files.get(name)
    if (file !== undefined) file.seen = bytes
  }

  storage(steps: Steps): LogStorage {
    return {
      open: async (name) => {
        const none = new Uint8Array(0)
        const file = this.#files.get(name) ?? { seen: none, durable: none, mark: 0, durableMark: 0 }
        this.#files.set(name, file)
        return storedLog(file, steps)
      },
      close: async () => {},
    }
  }
}

function storedLog(file: Contents, steps: Steps): StoredLog {
  return {
    size: async () => file.seen.length,
    read: async (offset, length) => file.seen.slice(offset, offset + length),
    write: (offset, bytes) =>
      steps.step((part) => {
        const written = part === 'all' ? bytes : bytes.subarray(0, Math.floor(bytes.length * 0.6))
        file.seen = concatBytes(file.seen.subarray(0, offset), written, file.seen.subarray(offset + written.length))
      }),
    truncate: (size) =>
      steps.step(() => {
        file.seen = file.seen.slice(0, size)
      }),
    sync: () =>
      steps.step((part) => {
        if (part === 'all') file.durable = file.seen
      }),
    readMark: async () => file.mark,
    writeMark: (extended) =>
      steps.step((part) => {
        if (part === 'all') file.mark = extended
      }),
    close: async () => {},
  }
}

export const FULL = new LaunchLogError('LAUNCH_LOG_STORAGE', 'writing: ENOSPC: no space left on device')
