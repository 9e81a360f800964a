import { concatBytes, toHex } from '../base/index.ts'
import { encodeCelRecord, encodeLaunchLogContent, type LaunchLogContent, launchLogRecord } from '../event-log/index.ts'
import type { SoftTpm } from './soft-tpm.ts'

/** The register that simulated nodes have their launch log in. */
export const LOG_PCR = 15

/** What a simulated agent says of itself: it is no program of a release. */
const PROGRAM = '5'.repeat(64)

/** The launch log of one TPM start, in step with the register. What the verifier has is dropped. */
export class NodeLog {
  readonly #tpm: SoftTpm
  #bytes: Uint8Array = new Uint8Array(0)
  /** Offset of the first byte that is still here. */
  #from = 0
  #recnum = 0

  /** Begins with the record of an agent's start, as each log does. */
  constructor(tpm: SoftTpm, verifierId: string) {
    this.#tpm = tpm
    const found = Object.fromEntries(tpm.banks.map((bank) => [bank, toHex(tpm.register(bank, LOG_PCR))]))
    const agent = { version: 'simulated', programSha256: PROGRAM, configSha256: PROGRAM, mode: 'enforce' } as const
    this.record({ record: 'agent', ...agent, found, verifierKeys: [verifierId] })
  }

  get size(): number {
    return this.#from + this.#bytes.length
  }

  /** Extends and appends, as an agent does. */
  record(content: LaunchLogContent): void {
    this.#tpm.extend(LOG_PCR, encodeLaunchLogContent(content))
    this.#append(content)
  }

  /** Extends one thing and writes another: from here on the log is a fork of what the register holds. */
  fork(measured: LaunchLogContent, written: LaunchLogContent): void {
    this.#tpm.extend(LOG_PCR, encodeLaunchLogContent(measured))
    this.#append(written)
  }

  /** @returns the log from there on; undefined when it begins behind that, or ends before it */
  since(offset: number): Uint8Array | undefined {
    if (offset < this.#from || offset > this.size) return undefined
    return this.#bytes.slice(offset - this.#from)
  }

  /** The verifier has everything before that offset, and will not ask for it again. */
  drop(offset: number): void {
    if (offset <= this.#from || offset > this.size) return
    this.#bytes = this.#bytes.slice(offset - this.#from)
    this.#from = offset
  }

  #append(content: LaunchLogContent): void {
    const bytes = encodeLaunchLogContent(content)
    const record = encodeCelRecord(launchLogRecord(this.#recnum++, LOG_PCR, this.#tpm.banks, bytes))
    this.#bytes = concatBytes(this.#bytes, record)
  }
}
