import { concatBytes } from '../../attestation/base/index.ts'
import type { HashAlgorithm } from '../../attestation/crypto/index.ts'
import {
  type AgentRecord,
  type BankRegisters,
  encodeCelRecord,
  encodeLaunchLogContent,
  extendWithContent,
  type LaunchLogContent,
  launchLogRecord,
  toBankValues,
  zeroRegisters,
} from '../../attestation/event-log/index.ts'

export const PCR = 15
export const BANKS: readonly HashAlgorithm[] = ['sha1', 'sha256']
export const VERIFIER_ID = 'ab'.repeat(32)

/** A launch log as an honest agent writes it, with the register that a TPM would hold. */
export class LogBuilder {
  #bytes: Uint8Array = new Uint8Array(0)
  #recnum = 0
  #registers: BankRegisters
  readonly #banks: readonly HashAlgorithm[]

  constructor(start: BankRegisters = zeroRegisters(BANKS), banks = BANKS) {
    this.#registers = start
    this.#banks = banks
  }

  get bytes(): Uint8Array {
    return this.#bytes
  }
  get registers(): BankRegisters {
    return this.#registers
  }

  add(...contents: readonly LaunchLogContent[]): this {
    for (const content of contents) this.addBytes(encodeLaunchLogContent(content))
    return this
  }

  /** Content of any form, measured as it is. */
  addBytes(content: Uint8Array): this {
    const record = launchLogRecord(this.#recnum++, PCR, this.#banks, content)
    this.#bytes = concatBytes(this.#bytes, encodeCelRecord(record))
    this.#registers = extendWithContent(this.#registers, content)
    return this
  }

  agent(over: Partial<AgentRecord> = {}): this {
    return this.add({
      record: 'agent',
      version: '0.1.0',
      programSha256: '11'.repeat(32),
      configSha256: '22'.repeat(32),
      mode: 'enforce',
      found: toBankValues(this.#registers),
      verifierKeys: [VERIFIER_ID],
      ...over,
    })
  }
}
