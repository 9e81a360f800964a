import { createRequire } from 'node:module'
import { endianness } from 'node:os'
import { messageOf } from '../../attestation/base/index.ts'
import { FfiNapiAdapter } from './ffi-napi.ts'
import { KoffiAdapter } from './koffi.ts'
import type { ScalarKind } from './prototypes.ts'
import { TssError } from './tss-error.ts'

/** Memory with a fixed native address; garbage collection does not move it, and it lives as long as this object. */
export interface NativeMemory {
  readonly bytes: Buffer
  readonly address: bigint
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
}

export type FfiName = 'ffi-napi' | 'koffi'

/**
 * Loads the foreign function interface: ffi-napi, or koffi where ffi-napi was not built or does not load.
 *
 * @param wanted forces one of the two; HOLDFAST_FFI is what the processes of Holdfast pass here
 * @throws TssError TSS_FFI_UNAVAILABLE naming what failed and why
 */
export function loadFfi(wanted: string | undefined = process.env['HOLDFAST_FFI']): FfiAdapter {
  if (endianness() !== 'LE') throw new TssError('TSS_FFI_UNAVAILABLE', 'only little-endian machines are supported')
  const require = createRequire(import.meta.url)
  const makers: Readonly<Record<FfiName, () => FfiAdapter>> = {
    'ffi-napi': () => new FfiNapiAdapter(require),
    koffi: () => new KoffiAdapter(require),
  }
  if (wanted !== undefined && wanted !== '') {
    if (wanted !== 'ffi-napi' && wanted !== 'koffi') {
      throw new TssError('TSS_FFI_UNAVAILABLE', `HOLDFAST_FFI is '${wanted}', wanted 'ffi-napi' or 'koffi'`)
    }
    try {
      return makers[wanted]()
    } catch (cause) {
      throw new TssError('TSS_FFI_UNAVAILABLE', `${wanted} cannot be loaded: ${firstLine(cause)}`, { cause })
    }
  }
  try {
    return makers['ffi-napi']()
  } catch (first) {
    try {
      return makers.koffi()
    } catch (second) {
      throw new TssError(
        'TSS_FFI_UNAVAILABLE',
        `neither ffi-napi (${firstLine(first)}) nor koffi (${firstLine(second)}) can be loaded; run npm ci with a C++ compiler installed`,
        { cause: first },
      )
    }
  }
}

function firstLine(err: unknown): string {
  return messageOf(err).split('\n', 1)[0] ?? ''
}
