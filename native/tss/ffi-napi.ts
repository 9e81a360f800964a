import { createRequire } from 'node:module'
import type {
  CallFrame,
  FfiAdapter,
  NativeFunction,
  NativeLibrary,
  NativeMemory,
  NativePointer,
} from './ffi-adapter.ts'
import type { ScalarKind } from './prototypes.ts'

/** What is used of ffi-napi; `lib/bindings` is an internal path, which is why package.json pins the exact version. */
interface FfiNapi {
  readonly CIF: (returns: string, parameters: readonly string[]) => Buffer
  readonly DynamicLibrary: new (path: string, mode: number) => { get(symbol: string): Buffer }
  readonly RTLD_NOW: number
}
interface FfiNapiBindings {
  ffi_call(cif: Buffer, fn: Buffer, result: Buffer, argv: Buffer): void
  ffi_call_async(cif: Buffer, fn: Buffer, result: Buffer, argv: Buffer, done: (err: unknown) => void): void
}

interface RefNapi {
  address(buffer: Buffer): number
  readPointer(buffer: Buffer, offset: number, length: number): Buffer
}

const TYPES: Readonly<Record<ScalarKind | 'pointer' | 'void', string>> = {
  u8: 'uint8',
  u16: 'uint16',
  u32: 'uint32',
  i32: 'int32',
  u64: 'uint64',
  pointer: 'uint64', // as a number: ffi-napi's own pointers are Buffers made anew for each call
  void: 'void',
}

/**
 * ffi-napi below its public interface: libffi is called straight on the frame. The public way makes several Buffers for
 * each call whose finalizers are deferred: 20 times slower, and a gigabyte after 60 000 calls.
 */
export class FfiNapiAdapter implements FfiAdapter {
  readonly name = 'ffi-napi'
  readonly #ffi: FfiNapi
  readonly #bindings: FfiNapiBindings
  readonly #ref: RefNapi

  constructor(require: NodeJS.Require) {
    // None of the three has usable types: these interfaces are what the pinned version was seen to offer.
    this.#ffi = require('ffi-napi') as FfiNapi
    this.#bindings = require('ffi-napi/lib/bindings') as FfiNapiBindings
    this.#ref = createRequire(require.resolve('ffi-napi'))('@2060.io/ref-napi') as RefNapi
  }

  allocate(sizeBytes: number): NativeMemory {
    const bytes = Buffer.from(new ArrayBuffer(sizeBytes)) // not from Node's pool: nothing else may share it
    return { bytes, address: BigInt(this.#ref.address(bytes)) }
  }

  open(soname: string): NativeLibrary {
    const library = new this.#ffi.DynamicLibrary(soname, this.#ffi.RTLD_NOW)
    return {
      bind: (symbol, returns, parameters, frame) => this.#bind(library.get(symbol), returns, parameters, frame),
    }
  }

  bindPointer(
    { memory, offset }: NativePointer,
    returns: 'u32' | 'pointer' | 'void',
    parameters: readonly ScalarKind[],
    frame: CallFrame,
  ): NativeFunction {
    return this.#bind(this.#ref.readPointer(memory.bytes, offset, 8), returns, parameters, frame)
  }

  #bind(
    fn: Buffer,
    returns: 'u32' | 'pointer' | 'void',
    parameters: readonly ScalarKind[],
    frame: CallFrame,
  ): NativeFunction {
    const cif = this.#ffi.CIF(
      TYPES[returns],
      parameters.map((p) => TYPES[p]),
    )
    return bindToFrame(this.#bindings, cif, fn, frame)
  }
}

function bindToFrame(bindings: FfiNapiBindings, cif: Buffer, fn: Buffer, frame: CallFrame): NativeFunction {
  const { bytes } = frame.memory
  const result = bytes.subarray(frame.result, frame.result + 8)
  const argv = bytes.subarray(frame.argv, frame.args)
  return {
    call: () => bindings.ffi_call(cif, fn, result, argv),
    // ffi_call_async keeps none of its Buffers alive; this closure does, until the promise is settled.
    callAsync: () =>
      new Promise<void>((resolve, reject) => {
        bindings.ffi_call_async(cif, fn, result, argv, (err) => (err === null ? resolve() : reject(err)))
      }),
  }
}
