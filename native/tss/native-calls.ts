import type { Arena } from './arena.ts'
import type { NativeFunction } from './ffi-adapter.ts'
import type { TssLibraries } from './libraries.ts'
import { type FunctionName, PROTOTYPES, type Prototype, type ScalarKind } from './prototypes.ts'

/** One parameter of a function, by its name in the C header. */
export interface Parameter {
  readonly name: string
  readonly kind: string
  /** Structure name of an `in T` or `out T`. */
  readonly structure: string | undefined
}

/** A function of the prototype table, and what its prototype means for calling it. */
export interface CallPlan {
  readonly name: FunctionName
  readonly prototype: Prototype
  readonly parameters: readonly Parameter[]
  readonly native: NativeFunction
  readonly inputNames: ReadonlySet<string>
  readonly canDecrypt: boolean
  readonly canEncrypt: boolean
}

/** shandle1 to shandle3 and their like: sessions, not arguments. */
export const SESSION_PARAMETER = /^(?:shandle|optionalSession)([123])$/

/** Handles are outside the parameters, so they do not count when looking for the first one. */
const HANDLE_OUTPUTS: ReadonlySet<string> = new Set([
  'objectHandle',
  'sessionHandle',
  'nvHandle',
  'newObjectHandle',
  'loadedHandle',
])

/** The functions of tpm2-tss, each bound once to the frames of one arena. */
export class NativeCalls {
  readonly #arena: Arena
  readonly #libraries: TssLibraries
  readonly #plans = new Map<FunctionName, CallPlan>()
  readonly #marshallers = new Map<string, NativeFunction>()

  constructor(arena: Arena, libraries: TssLibraries) {
    this.#arena = arena
    this.#libraries = libraries
  }

  /** The function's plan, made when it is first needed. @throws TssError TSS_LIBRARY_MISSING */
  plan(name: FunctionName): CallPlan {
    const known = this.#plans.get(name)
    if (known !== undefined) return known
    const prototype = PROTOTYPES[name]
    const parameters = prototype.parameters.map(([parameterName, kind]): Parameter => {
      const structure = /^(?:in|out) (TPM.*)$/.exec(kind)?.[1]
      return { name: parameterName, kind, structure }
    })
    const native = this.#libraries.bind(
      prototype.library,
      name,
      prototype.returns,
      prototype.parameters.map(([, kind]) => nativeKind(kind)),
      this.#arena.commandFrame,
    )
    const inputs = parameters.filter(
      (p) => p.kind !== 'context' && !p.kind.startsWith('out ') && !SESSION_PARAMETER.test(p.name),
    )
    const outputs = parameters.filter((p) => p.kind.startsWith('out ') && !HANDLE_OUTPUTS.has(p.name))
    const firstInput = parameters.slice(lastSession(parameters) + 1).find((p) => inputs.includes(p))
    const plan: CallPlan = {
      name,
      prototype,
      parameters,
      native,
      inputNames: new Set(inputs.map((p) => p.name)),
      canDecrypt: firstInput?.structure?.startsWith('TPM2B_') === true,
      canEncrypt: outputs[0]?.structure?.startsWith('TPM2B_') === true,
    }
    this.#plans.set(name, plan)
    return plan
  }

  /** A function besides the table, bound to the frame for marshalling. @throws TssError TSS_LIBRARY_MISSING */
  marshaller(symbol: string, parameters: readonly ScalarKind[], returns: Prototype['returns']): NativeFunction {
    const known = this.#marshallers.get(symbol)
    if (known !== undefined) return known
    const library = symbol.startsWith('Tss2_MU_') ? 'mu' : 'rc'
    const bound = this.#libraries.bind(library, symbol, returns, parameters, this.#arena.marshalFrame)
    this.#marshallers.set(symbol, bound)
    return bound
  }
}

function lastSession(parameters: readonly Parameter[]): number {
  return parameters.findLastIndex((p) => SESSION_PARAMETER.test(p.name))
}

function nativeKind(kind: string): ScalarKind {
  if (kind === 'u8' || kind === 'u16' || kind === 'u32' || kind === 'i32' || kind === 'u64') return kind
  return 'u64' // contexts, structures, outputs and plain pointers
}
