import type { Tpm } from '../../../agent/ports.ts'
import { concatBytes } from '../../../attestation/base/index.ts'
import type { SoftTpm } from '../../support/soft-tpm.ts'
import { RegisterTpm } from '../launch-log/register-tpm.ts'

const LOG_PCR = 15

/** A software TPM as an agent uses it: keys of SoftTpm, and a log register that can be watched and changed. */
export class SoftTpmPort implements Tpm {
  readonly soft: SoftTpm
  readonly register: RegisterTpm
  /** What was called, in order. */
  readonly calls: string[] = []
  /** Called before each command; what it throws, the command throws. */
  before: (operation: string) => Promise<void> | void = () => {}

  constructor(soft: SoftTpm) {
    this.soft = soft
    this.register = new RegisterTpm(soft.banks)
    this.#follow()
  }

  async describe() {
    return { manufacturer: 'TEST', firmwareVersion: 1n, banks: this.soft.banks }
  }
  async readClock() {
    await this.#called('readClock')
    return { clockMs: 0n, safe: true, ...this.register.start }
  }
  async readPcrs(...[selection]: Parameters<Tpm['readPcrs']>) {
    await this.#called('readPcrs')
    return this.#values(selection)
  }
  async extend(...[_pcr, digests]: Parameters<Tpm['extend']>) {
    await this.#called('extend')
    this.register.extendDirectly(digests)
  }
  async provisionIdentity() {
    return { ekPublic: this.soft.ekPublic, ekChain: [], akPublic: this.soft.ak.public }
  }
  async activateCredential(idObject: Uint8Array, encryptedSecret: Uint8Array) {
    await this.#called('activateCredential')
    return this.soft.activate({ idObject, encryptedSecret })
  }
  async quote(...[extraData, selection]: Parameters<Tpm['quote']>) {
    await this.#called('quote')
    this.#follow()
    return this.soft.quote(extraData, selection, this.#values(selection))
  }
  async close() {}

  #values(selection: Parameters<Tpm['readPcrs']>[0]) {
    return this.soft
      .values(selection)
      .map((v) => (v.pcr === LOG_PCR ? { ...v, value: concatBytes(this.register.value(v.bank)) } : v))
  }

  #follow(): void {
    this.soft.clock = { ...this.soft.clock, ...this.register.start }
  }

  async #called(operation: string): Promise<void> {
    this.calls.push(operation)
    await this.before(operation)
  }
}
