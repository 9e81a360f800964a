import type { ScalarKind } from './prototypes.ts'

/** Memory with a fixed native address; garbage collection does not move it, and it lives as long as this object. */
export interface NativeMemory {
  readonly bytes: Buffer
  readonly address: bigint
}

/** Where an 8-byte native address lies. */
export interface NativePointer {
  readonly memory: NativeMemory
  readonly offset: number
}

/**
 * Where one call's arguments and result lie, as offsets in a NativeMemory. Argument i is the 8 bytes at `args + 8 * i`,
 * little-endian; `argv` is the array of pointers to them that libffi wants; the result is the 8 bytes at `result`.
 */
export interface CallFrame {
  readonly memory: NativeMemory
  readonly args: number
  readonly argv: number
  readonly result: number
}

/** A C function bound to one call frame. */
export interface NativeFunction {
  /** Calls with what lies in the frame; the result is in the frame afterwards. */
  call(): void
  /** The same on another thread. Nothing in the frame's memory may be touched until it settles. */
  callAsync(): Promise<void>
}

/** A loaded shared library. */
export interface NativeLibrary {
  /** @throws Error when the library and those it depends on have no such symbol */
  bind(
    symbol: string,
    returns: 'u32' | 'pointer' | 'void',
    parameters: readonly ScalarKind[],
    frame: CallFrame,
  ): NativeFunction
}

/** What ffi-napi and koffi have in common, as far as it is needed here. */
export interface FfiAdapter {
  readonly name: FfiName
  allocate(sizeBytes: number): NativeMemory
  /** @throws Error when the dynamic loader does not find the library */
  open(soname: string): NativeLibrary
  /** Binds the function whose address lies at an offset of native memory, now: the memory may change afterwards. */
  bindPointer(
    pointer: NativePointer,
    returns: 'u32' | 'pointer' | 'void',
    parameters: readonly ScalarKind[],
    frame: CallFrame,
  ): NativeFunction
}

export type FfiName = 'ffi-napi' | 'koffi'
