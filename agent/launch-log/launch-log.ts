import {
  type BankRegisters,
  encodeLaunchLogContent,
  equalRegisters,
  type LaunchLogContent,
  toBankValues,
} from '../../attestation/event-log/index.ts'
import { Mutex } from '../mutex.ts'
import { LaunchLogError } from './errors.ts'
import {
  type AppendedRecord,
  appendRecords,
  type LaunchLogOptions,
  type OpenLog,
  openLog,
  readRegisters,
  type TpmStart,
} from './open-log.ts'
import { replayContents } from './recovery.ts'
import type { LogSummary } from './summary.ts'

/** The log as it stands: whole records only, all of them in the register. */
export interface LogView {
  readonly start: TpmStart
  /** Bytes. */
  readonly size: number
  readonly registers: BankRegisters
  readonly summary: LogSummary
  /** Bytes of the log, fewer than asked for where it ends. */
  read(offset: number, length: number): Promise<Uint8Array>
}

/** The log while nobody else can append to it. */
export interface LogWriter extends LogView {
  /** What the register will hold once these records are appended. */
  predict(contents: readonly LaunchLogContent[]): BankRegisters
  /**
   * Writes and syncs the records, then extends them one after another. When it rejects, what became of them is settled before
   * anything else is appended; a caller must not act as if they were recorded.
   */
  append(contents: readonly LaunchLogContent[]): Promise<readonly AppendedRecord[]>
  /**
   * Reads the register back.
   * @throws LaunchLogError LAUNCH_LOG_REGISTER_MISMATCH when it is not what the log replays to
   */
  checkRegister(): Promise<void>
  /** Has log and TPM compared before anything else is appended: something showed that they may be apart. */
  distrust(): void
}

/**
 * The launch log of this node and the register it is extended into. Records are written and synced before they are extended, so that
 * whatever stops the agent, the register is a replay of a prefix of the file, and the rest is extended at the next start.
 */
export class LaunchLog {
  readonly #options: LaunchLogOptions
  readonly #mutex = new Mutex()
  #log: OpenLog
  #settled = true
  #closed = false

  private constructor(options: LaunchLogOptions, log: OpenLog) {
    this.#options = options
    this.#log = log
  }

  /**
   * Opens the log of the TPM's current start, or begins it, and records the start of this agent.
   * @throws LaunchLogError, or the TPM's own errors
   */
  static async open(options: LaunchLogOptions): Promise<LaunchLog> {
    const { log, begun } = await openLog(options)
    const launchLog = new LaunchLog(options, log)
    if (!begun) {
      await launchLog.exclusive((w) => w.append([options.agentRecord(toBankValues(w.registers))]))
    }
    return launchLog
  }

  /** Runs `work` while nobody else appends, after log and register were brought together where they may be apart. */
  exclusive<T>(work: (log: LogWriter) => Promise<T>): Promise<T> {
    return this.#mutex.run(async () => {
      if (this.#closed) throw new LaunchLogError('LAUNCH_LOG_CLOSED', 'the agent is stopping')
      if (!this.#settled) await this.#settle()
      return work(this.#writer())
    })
  }

  /** The log as it is at this moment; a later call may give another log, after the TPM was started anew. */
  get view(): LogView {
    const log = this.#log
    const { start, size, registers, summary } = log
    return {
      start,
      size,
      registers,
      summary,
      read: (offset, length) => readPart(log, offset, Math.min(length, size - offset)),
    }
  }

  /** False after an error, until log and register have been brought together again. */
  get settled(): boolean {
    return this.#settled
  }

  /** Waits for the append in hand, then closes the files and gives the lock back. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#mutex.run(async () => {
      await this.#log.file.close()
      await this.#options.storage.close()
    })
  }

  async #settle(): Promise<void> {
    const { log } = await openLog(this.#options)
    await this.#log.file.close()
    this.#log = log
    this.#settled = true
  }

  #writer(): LogWriter {
    const log = this.#log
    return {
      get start() {
        return log.start
      },
      get size() {
        return log.size
      },
      get registers() {
        return log.registers
      },
      get summary() {
        return log.summary
      },
      read: (offset, length) => readPart(log, offset, length),
      predict: (contents) =>
        replayContents(
          log.registers,
          contents.map((c) => ({ bytes: encodeLaunchLogContent(c) })),
        ),
      append: (contents) => this.#guard(() => appendRecords(this.#options, log, contents)),
      checkRegister: () => this.#guard(() => checkRegister(this.#options, log)),
      distrust: () => {
        this.#settled = false
      },
    }
  }

  async #guard<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#settled) {
      throw new LaunchLogError('LAUNCH_LOG_UNSETTLED', 'an earlier record failed; log and register are compared first')
    }
    this.#settled = false
    const result = await work()
    this.#settled = true
    return result
  }
}

function readPart(log: OpenLog, offset: number, length: number): Promise<Uint8Array> {
  return log.file.read(offset, Math.max(0, Math.min(length, log.size - offset)))
}

async function checkRegister(options: LaunchLogOptions, log: OpenLog): Promise<void> {
  const held = await readRegisters(options)
  if (equalRegisters(held, log.registers)) return
  const [bank] = options.banks.filter((b) => toBankValues(held)[b] !== toBankValues(log.registers)[b])
  throw new LaunchLogError(
    'LAUNCH_LOG_REGISTER_MISMATCH',
    `PCR ${options.pcr} (${bank}) holds ${toBankValues(held)[bank ?? 'sha256']}, the log gives ` +
      `${toBankValues(log.registers)[bank ?? 'sha256']}: something else extended it`,
  )
}
