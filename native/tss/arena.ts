import type { CallFrame, FfiAdapter, NativeMemory } from './ffi-adapter.ts'

/** Largest structure of tpm2-tss is TPMS_CONTEXT with 5208 bytes; a fixed slot spares a table of sizes. */
export const SLOT_BYTES = 8192
const MAX_PARAMETERS = 20 // Esys_CreatePrimary has 15
const MAX_STRUCTURES = 6 // Esys_CreatePrimary takes 4
const FRAME_BYTES = 64 + 16 * MAX_PARAMETERS
const CELLS_AT = 1024
const WIRE_AT = 4096
const SLOTS_AT = WIRE_AT + SLOT_BYTES

/**
 * All native memory of one context, at a fixed address: two call frames (one for a command, one for marshalling its
 * parameters), 8-byte cells for pointers and integers that the library writes, one wire buffer, and zeroed structure
 * slots. Native pointers never become JavaScript numbers: they are copied from cell to frame as 8 bytes.
 */
export class Arena {
  readonly commandFrame: CallFrame
  readonly marshalFrame: CallFrame
  readonly bytes: Buffer
  readonly #words: Uint32Array
  readonly #base: bigint

  constructor(ffi: FfiAdapter) {
    const memory = ffi.allocate(SLOTS_AT + MAX_STRUCTURES * SLOT_BYTES)
    this.bytes = memory.bytes
    this.#base = memory.address
    this.#words = new Uint32Array(memory.bytes.buffer, memory.bytes.byteOffset, memory.bytes.length / 4)
    this.commandFrame = this.#makeFrame(memory, 0)
    this.marshalFrame = this.#makeFrame(memory, FRAME_BYTES)
  }

  #makeFrame(memory: NativeMemory, at: number): CallFrame {
    const frame = { memory, result: at, argv: at + 64, args: at + 64 + 8 * MAX_PARAMETERS }
    for (let i = 0; i < MAX_PARAMETERS; i++) this.#putAddress(frame.argv + 8 * i, frame.args + 8 * i)
    return frame
  }

  /** Offset of the n-th 8-byte cell. */
  cell(n: number): number {
    return CELLS_AT + 8 * n
  }

  /** Offset of the wire buffer, SLOT_BYTES long. */
  get wire(): number {
    return WIRE_AT
  }

  /** Offset of the n-th structure slot. Slots are zero between calls: whoever fills one clears it. */
  slot(n: number): number {
    if (n >= MAX_STRUCTURES) throw new RangeError(`a call takes at most ${MAX_STRUCTURES} structures`)
    return SLOTS_AT + SLOT_BYTES * n
  }

  /** Argument i becomes an unsigned integer below 2^32. */
  setInteger(frame: CallFrame, i: number, value: number): void {
    const at = (frame.args >>> 2) + 2 * i
    this.#words[at] = value
    this.#words[at + 1] = 0
  }

  /** Argument i becomes the native address of an offset in this arena. */
  setAddress(frame: CallFrame, i: number, offset: number): void {
    this.#putAddress(frame.args + 8 * i, offset)
  }

  /** Argument i becomes the pointer that lies in a cell. */
  setPointer(frame: CallFrame, i: number, cell: number): void {
    this.#copyWords((frame.args >>> 2) + 2 * i, cell >>> 2)
  }

  /** Keeps a pointer that a call returned in a cell. */
  keepResult(frame: CallFrame, cell: number): void {
    this.#copyWords(cell >>> 2, frame.result >>> 2)
  }

  readResult(frame: CallFrame): number {
    return this.word(frame.result)
  }

  /** The low 32 bits at an offset. */
  word(offset: number): number {
    return this.#words[offset >>> 2] ?? 0
  }

  isNull(cell: number): boolean {
    return this.word(cell) === 0 && this.word(cell + 4) === 0
  }

  clearCell(cell: number): void {
    this.setCell(cell, 0)
  }

  /** A cell becomes an unsigned integer below 2^32. */
  setCell(cell: number, value: number): void {
    this.#words[cell >>> 2] = value
    this.#words[(cell >>> 2) + 1] = 0
  }

  #copyWords(to: number, from: number): void {
    this.#words[to] = this.#words[from] ?? 0
    this.#words[to + 1] = this.#words[from + 1] ?? 0
  }

  #putAddress(at: number, offset: number): void {
    this.bytes.writeBigUInt64LE(this.#base + BigInt(offset), at)
  }
}
