import type { Arena } from './arena.ts'
import { checkedInteger, type EsysTr, type SessionUse } from './esys-call.ts'
import type { CallPlan, NativeCalls } from './native-calls.ts'
import type { ReturnCodes } from './return-codes.ts'

/** TPMA_SESSION bits (TPM 2.0 Part 2 r1.59 §8.4). */
const CONTINUE = 0x01
const DECRYPT = 0x20
const ENCRYPT = 0x40
const AUDIT = 0x80

/** The attributes that each session has, changed only when a command wants others. */
export class SessionAttributes {
  readonly #arena: Arena
  readonly #natives: NativeCalls
  readonly #codes: ReturnCodes
  readonly #esysCell: number
  readonly #attributes = new Map<EsysTr, number>()

  /** @param esysCell the cell with the ESYS context */
  constructor(arena: Arena, natives: NativeCalls, codes: ReturnCodes, esysCell: number) {
    this.#arena = arena
    this.#natives = natives
    this.#codes = codes
    this.#esysCell = esysCell
  }

  /** ESYS refuses to encrypt what cannot be encrypted, so the attributes follow the command. */
  prepare(plan: CallPlan, sessions: readonly (SessionUse | EsysTr)[]): void {
    for (const use of sessions) {
      if (typeof use === 'number') continue
      let wanted = CONTINUE
      if (use.protect) {
        if (plan.canDecrypt) wanted |= DECRYPT
        if (plan.canEncrypt) wanted |= ENCRYPT
      }
      if (use.audit === true) wanted |= AUDIT
      if (this.#attributes.get(use.tr) === wanted) continue
      const set = this.#natives.plan('Esys_TRSess_SetAttributes')
      const frame = this.#arena.commandFrame
      this.#arena.setPointer(frame, 0, this.#esysCell)
      this.#arena.setInteger(frame, 1, checkedInteger('session', use.tr, 'u32'))
      this.#arena.setInteger(frame, 2, wanted)
      this.#arena.setInteger(frame, 3, 0xff)
      set.native.call()
      this.#codes.check('Esys_TRSess_SetAttributes', this.#arena.readResult(frame))
      this.#attributes.set(use.tr, wanted)
    }
  }

  /** ESYS may give a number again that was flushed. */
  forget(tr: EsysTr): void {
    this.#attributes.delete(tr)
  }
}
