import { type Arena, SLOT_BYTES } from './arena.ts'
import type { CallMode } from './esys-call.ts'
import type { NativeFunction } from './ffi-adapter.ts'
import type { TssLibraries } from './libraries.ts'
import type { NativeCalls } from './native-calls.ts'
import type { ReturnCodes } from './return-codes.ts'

/**
 * TSS2_TCTI_CONTEXT_COMMON_V1 begins with magic (8 bytes), version (4, and 4 of padding) and the pointers to transmit
 * and receive. That layout is the interface: `Tss2_Tcti_Transmit` and `Tss2_Tcti_Receive` are macros over it. Source:
 * TSS 2.0 TCTI §3.
 */
export const TCTI_LAYOUT = { transmit: 16, receive: 24, bytes: 32 } as const
/** TSS2_TCTI_TIMEOUT_BLOCK, -1: a TPM that hangs is ended by killing its process, as with ESYS. */
const BLOCK = 0xffffffff

/**
 * The transport below ESYS: whole commands and responses as bytes. Only for the time that no ESYS call is under way;
 * the queue of the ESYS context sees to that.
 */
export class Tcti {
  readonly #arena: Arena
  readonly #codes: ReturnCodes
  readonly #mode: CallMode
  readonly #contextCell: number
  readonly #sizeCell: number
  readonly #transmit: NativeFunction
  readonly #receive: NativeFunction

  /**
   * @param contextCell the cell with the TCTI context
   * @param sizeCell a cell that nothing else uses
   */
  constructor(
    arena: Arena,
    libraries: TssLibraries,
    natives: NativeCalls,
    codes: ReturnCodes,
    options: { readonly mode: CallMode; readonly contextCell: number; readonly sizeCell: number },
  ) {
    this.#arena = arena
    this.#codes = codes
    this.#mode = options.mode
    this.#contextCell = options.contextCell
    this.#sizeCell = options.sizeCell
    const memcpy = natives.marshaller('memcpy', ['u64', 'u64', 'u64'], 'pointer')
    arena.setAddress(arena.marshalFrame, 0, arena.wire)
    arena.setPointer(arena.marshalFrame, 1, this.#contextCell)
    arena.setInteger(arena.marshalFrame, 2, TCTI_LAYOUT.bytes)
    memcpy.call()
    const frame = arena.commandFrame
    const at = (offset: number) => ({ memory: frame.memory, offset: arena.wire + offset })
    const { ffi } = libraries
    this.#transmit = ffi.bindPointer(at(TCTI_LAYOUT.transmit), 'u32', ['u64', 'u64', 'u64'], frame)
    this.#receive = ffi.bindPointer(at(TCTI_LAYOUT.receive), 'u32', ['u64', 'u64', 'u64', 'i32'], frame)
    arena.bytes.fill(0, arena.wire, arena.wire + TCTI_LAYOUT.bytes)
  }

  /**
   * Sends a command and waits for the response, of which nothing is checked.
   *
   * @throws RangeError for a command larger than the buffer
   * @throws TssError TSS_NO_TPM, TSS_BAD_RESPONSE
   */
  async exchange(command: Uint8Array): Promise<Uint8Array> {
    if (command.length > SLOT_BYTES) throw new RangeError(`a command of ${command.length} bytes, at most ${SLOT_BYTES}`)
    const arena = this.#arena
    const frame = arena.commandFrame
    arena.bytes.set(command, arena.wire)
    let used = command.length
    try {
      arena.setPointer(frame, 0, this.#contextCell)
      arena.setInteger(frame, 1, command.length)
      arena.setAddress(frame, 2, arena.wire)
      await this.#run('Tss2_Tcti_Transmit', this.#transmit)
      used = SLOT_BYTES
      arena.setCell(this.#sizeCell, SLOT_BYTES)
      arena.setPointer(frame, 0, this.#contextCell)
      arena.setAddress(frame, 1, this.#sizeCell)
      arena.setAddress(frame, 2, arena.wire)
      arena.setInteger(frame, 3, BLOCK)
      await this.#run('Tss2_Tcti_Receive', this.#receive)
      used = Math.min(arena.word(this.#sizeCell), SLOT_BYTES)
      return new Uint8Array(arena.bytes.subarray(arena.wire, arena.wire + used))
    } finally {
      arena.bytes.fill(0, arena.wire, arena.wire + used)
    }
  }

  async #run(what: string, native: NativeFunction): Promise<void> {
    if (this.#mode === 'sync') native.call()
    else await native.callAsync()
    this.#codes.check(what, this.#arena.readResult(this.#arena.commandFrame))
  }
}
