import type {
  CallFrame,
  FfiAdapter,
  NativeFunction,
  NativeLibrary,
  NativeMemory,
  NativePointer,
} from './ffi-adapter.ts'
import type { ScalarKind } from './prototypes.ts'

/** What is used of koffi, which is an optional dependency: its own types are not there on every machine. */
interface Koffi {
  load(path: string): { func(name: string, returns: string, parameters: readonly string[]): KoffiFunction }
  address(value: unknown): bigint
  proto(returns: string, parameters: readonly string[]): unknown
  decode(address: bigint, type: unknown): KoffiFunction
}
interface KoffiFunction {
  (...args: readonly (number | bigint)[]): unknown
  async(...args: readonly unknown[]): void
}

const TYPES: Readonly<Record<ScalarKind | 'pointer' | 'void', string>> = {
  u8: 'uint8_t',
  u16: 'uint16_t',
  u32: 'uint32_t',
  i32: 'int32_t',
  u64: 'uint64_t',
  pointer: 'uint64_t',
  void: 'void',
}

/** koffi behind the same frame as ffi-napi: arguments are read from it and the result is written to it. */
export class KoffiAdapter implements FfiAdapter {
  readonly name = 'koffi'
  readonly #koffi: Koffi

  constructor(require: NodeJS.Require) {
    this.#koffi = require('koffi') as Koffi // the interface above is what the pinned version documents
  }

  allocate(sizeBytes: number): NativeMemory {
    const bytes = Buffer.from(new ArrayBuffer(sizeBytes))
    return { bytes, address: this.#koffi.address(bytes) }
  }

  open(soname: string): NativeLibrary {
    const library = this.#koffi.load(soname)
    return {
      bind: (symbol, returns, parameters, frame) => {
        const fn = library.func(
          symbol,
          TYPES[returns],
          parameters.map((p) => TYPES[p]),
        )
        return bindToFrame(fn, returns, parameters, frame)
      },
    }
  }

  bindPointer(
    { memory, offset }: NativePointer,
    returns: 'u32' | 'pointer' | 'void',
    parameters: readonly ScalarKind[],
    frame: CallFrame,
  ): NativeFunction {
    const type = this.#koffi.proto(
      TYPES[returns],
      parameters.map((p) => TYPES[p]),
    )
    const fn = this.#koffi.decode(memory.bytes.readBigUInt64LE(offset), type)
    return bindToFrame(fn, returns, parameters, frame)
  }
}

function bindToFrame(
  fn: KoffiFunction,
  returns: string,
  parameters: readonly ScalarKind[],
  frame: CallFrame,
): NativeFunction {
  const { bytes } = frame.memory
  const args = new Array<number | bigint>(parameters.length).fill(0)
  const readArguments = () => {
    for (let i = 0; i < parameters.length; i++) args[i] = readArgument(bytes, frame.args + 8 * i, parameters[i])
  }
  const writeResult = (value: unknown) => {
    if (returns !== 'void') bytes.writeBigUInt64LE(BigInt(value as number | bigint), frame.result) // koffi gives either
  }
  return {
    call: () => {
      readArguments()
      writeResult(fn(...args))
    },
    callAsync: () => {
      readArguments()
      return new Promise<void>((resolve, reject) => {
        fn.async(...args, (err: unknown, value: unknown) => {
          if (err !== null && err !== undefined) return reject(err)
          writeResult(value)
          resolve()
        })
      })
    },
  }
}

function readArgument(bytes: Buffer, at: number, kind: ScalarKind | undefined): number | bigint {
  switch (kind) {
    case 'u8':
      return bytes.readUInt8(at)
    case 'u16':
      return bytes.readUInt16LE(at)
    case 'u32':
      return bytes.readUInt32LE(at)
    case 'i32':
      return bytes.readInt32LE(at)
    default:
      return bytes.readBigUInt64LE(at)
  }
}
