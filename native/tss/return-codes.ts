import type { Arena } from './arena.ts'
import type { NativeCalls } from './native-calls.ts'
import { tssErrorFromRc } from './tss-error.ts'

/** What return codes mean, in the words of tpm2-tss itself. */
export class ReturnCodes {
  readonly #arena: Arena
  readonly #natives: NativeCalls
  readonly #scratchCell: number

  /** @param scratchCell a cell that nothing else uses */
  constructor(arena: Arena, natives: NativeCalls, scratchCell: number) {
    this.#arena = arena
    this.#natives = natives
    this.#scratchCell = scratchCell
  }

  /** @throws TssError for anything but success, naming the function `what` */
  check(what: string, rc: number): void {
    if (rc !== 0) throw tssErrorFromRc(what, rc, this.describe(rc))
  }

  /** Tss2_RC_Decode gives a pointer into a buffer of its own, which the next call overwrites: it is copied at once. */
  describe(rc: number): string {
    const arena = this.#arena
    const decode = this.#natives.plan('Tss2_RC_Decode')
    arena.setInteger(arena.commandFrame, 0, rc)
    decode.native.call()
    arena.keepResult(arena.commandFrame, this.#scratchCell)
    if (arena.isNull(this.#scratchCell)) return 'no description'
    const strncpy = this.#natives.marshaller('strncpy', ['u64', 'u64', 'u64'], 'pointer')
    arena.setAddress(arena.marshalFrame, 0, arena.wire)
    arena.setPointer(arena.marshalFrame, 1, this.#scratchCell)
    arena.setInteger(arena.marshalFrame, 2, 511) // strncpy fills what is left with zeros
    strncpy.call()
    const end = arena.bytes.indexOf(0, arena.wire)
    const text = arena.bytes.toString('latin1', arena.wire, end)
    arena.bytes.fill(0, arena.wire, end)
    return text
  }
}
