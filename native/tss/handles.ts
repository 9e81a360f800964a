import type { EsysTr } from './esys-call.ts'
import type { EsysContext } from './esys-context.ts'
import { TssError } from './tss-error.ts'

interface Entry {
  tr: Promise<EsysTr>
  users: number
}

/**
 * ESYS_TRs of objects that are named by a TPM handle: persistent keys, NV indices, and what an earlier process left
 * behind. Esys_TR_FromTPMPublic gives the same ESYS_TR for the same handle, and tpm2-tss 3.2 does not count: one
 * Esys_TR_Close would break all users. So the counting is here.
 */
export class HandleRegistry {
  readonly #esys: EsysContext
  readonly #entries = new Map<number, Entry>()

  constructor(esys: EsysContext) {
    this.#esys = esys
  }

  /** @returns the object at a TPM handle; `release` closes it after its last user, and never flushes or evicts */
  async lease(tpmHandle: number): Promise<{ readonly tr: EsysTr; release(): Promise<void> }> {
    let entry = this.#entries.get(tpmHandle)
    if (entry === undefined) {
      entry = { tr: this.#load(tpmHandle), users: 0 }
      this.#entries.set(tpmHandle, entry)
    }
    const mine = entry
    mine.users++
    try {
      const tr = await mine.tr
      let released = false
      const release = async () => {
        if (released) return
        released = true
        await this.#leave(tpmHandle, mine)
      }
      return { tr, release }
    } catch (err) {
      if (this.#entries.get(tpmHandle) === mine) this.#entries.delete(tpmHandle)
      throw err
    }
  }

  /** Forgets a handle whose ESYS_TR was closed by ESYS itself: evicted, flushed or undefined. */
  forget(tpmHandle: number): void {
    this.#entries.delete(tpmHandle)
  }

  async #load(tpmHandle: number): Promise<EsysTr> {
    const loaded = await this.#esys.call('Esys_TR_FromTPMPublic', { tpm_handle: tpmHandle })
    return loaded.integer('object')
  }

  async #leave(tpmHandle: number, entry: Entry): Promise<void> {
    entry.users--
    if (entry.users > 0 || this.#entries.get(tpmHandle) !== entry) return
    this.#entries.delete(tpmHandle)
    try {
      await this.#esys.call('Esys_TR_Close', { rsrc_handle: await entry.tr })
    } catch (err) {
      if (!(err instanceof TssError)) throw err // the context is closed or broken: then nothing is left to close
    }
  }
}

/**
 * Whether nobody else can have objects in this TPM: its simulator, or the raw device, which has no resource manager in
 * front. Anything not recognised counts as shared.
 */
export function isSoleUser(tcti: string): boolean {
  return /^(swtpm|mssim)(:|$)/.test(tcti) || /^device:\/dev\/tpm[0-9]+$/.test(tcti)
}
