import { type Arena, SLOT_BYTES } from './arena.ts'
import type { NativeCalls } from './native-calls.ts'
import type { ReturnCodes } from './return-codes.ts'
import { TssError } from './tss-error.ts'

/** Between TPM wire bytes and the C structures of tpm2-tss, by its own marshalling functions (Tss2_MU_*). */
export class Marshalling {
  readonly #arena: Arena
  readonly #natives: NativeCalls
  readonly #codes: ReturnCodes
  readonly #offsetCell: number

  /** @param offsetCell a cell that nothing else uses */
  constructor(arena: Arena, natives: NativeCalls, codes: ReturnCodes, offsetCell: number) {
    this.#arena = arena
    this.#natives = natives
    this.#codes = codes
    this.#offsetCell = offsetCell
  }

  /**
   * Wire bytes become a C structure in a slot of the arena, which the caller clears after the call.
   *
   * @param parameter its name, for messages
   * @throws RangeError when there are more bytes than any structure has
   * @throws TssError TSS_BAD_VALUE when they are not exactly one such structure
   */
  unmarshal(structure: string, wire: Uint8Array, slot: number, parameter: string): void {
    if (wire.length > SLOT_BYTES) throw new RangeError(`${parameter}: ${wire.length} bytes, at most ${SLOT_BYTES}`)
    const arena = this.#arena
    const unmarshal = this.#natives.marshaller(`Tss2_MU_${structure}_Unmarshal`, ['u64', 'u64', 'u64', 'u64'], 'u32')
    const frame = arena.marshalFrame
    arena.bytes.set(wire, arena.wire)
    arena.clearCell(this.#offsetCell)
    arena.setAddress(frame, 0, arena.wire)
    arena.setInteger(frame, 1, wire.length)
    arena.setAddress(frame, 2, this.#offsetCell)
    arena.setAddress(frame, 3, slot)
    try {
      unmarshal.call()
    } finally {
      arena.bytes.fill(0, arena.wire, arena.wire + wire.length)
    }
    const rc = arena.readResult(frame)
    if (rc !== 0) {
      const message = `${parameter}: ${wire.length} bytes are no ${structure}: 0x${rc.toString(16).padStart(8, '0')} (${this.#codes.describe(rc)})`
      throw new TssError('TSS_BAD_VALUE', message, { rc })
    }
    const read = arena.word(this.#offsetCell) // tpm2-tss itself ignores bytes that are left over
    if (read !== wire.length) {
      throw new TssError('TSS_BAD_VALUE', `${parameter}: ${structure} ends after ${read} of ${wire.length} bytes`)
    }
  }

  /**
   * The structure that the pointer in a cell leads to, as wire bytes; it stays the caller's to free.
   *
   * @throws TssError
   */
  marshal(structure: string, cell: number): Uint8Array {
    const arena = this.#arena
    const marshal = this.#natives.marshaller(`Tss2_MU_${structure}_Marshal`, ['u64', 'u64', 'u64', 'u64'], 'u32')
    const frame = arena.marshalFrame
    arena.clearCell(this.#offsetCell)
    arena.setPointer(frame, 0, cell)
    arena.setAddress(frame, 1, arena.wire)
    arena.setInteger(frame, 2, SLOT_BYTES)
    arena.setAddress(frame, 3, this.#offsetCell)
    marshal.call()
    this.#codes.check(`Tss2_MU_${structure}_Marshal`, arena.readResult(frame))
    const size = arena.word(this.#offsetCell)
    const out = new Uint8Array(arena.bytes.subarray(arena.wire, arena.wire + size))
    arena.bytes.fill(0, arena.wire, arena.wire + size)
    return out
  }
}
