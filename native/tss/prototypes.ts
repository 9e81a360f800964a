import table from './prototypes.generated.json' with { type: 'json' }

/** Integers as C has them; `pointer` is a native address. All are 64-bit Linux ABIs. */
export type ScalarKind = 'u8' | 'u16' | 'u32' | 'i32' | 'u64'

/**
 * How a parameter is passed: a scalar by value; `context` the ESYS context; `in T` a wire-form T unmarshalled for the
 * call; `out T` a T allocated by the library, marshalled and freed; `out u32` and the like an integer written by the
 * library, `inout` one that it also reads.
 */
export type ParameterKind = ScalarKind | 'context' | 'pointer' | `in ${string}` | `out ${string}` | 'inout u32'

/** One C function of tpm2-tss. */
export interface Prototype {
  readonly library: 'esys' | 'tctildr' | 'mu' | 'rc'
  readonly returns: 'u32' | 'pointer' | 'void'
  readonly parameters: readonly (readonly [name: string, kind: ParameterKind])[]
}

export type PrototypeTable = Readonly<Record<string, Prototype>>

/** Names in the table, so that a misspelt function is a compile error. */
export type FunctionName = keyof typeof table

/** Generated from the headers by generate-prototypes.ts; a test compares it with the installed header. */
// JSON modules are typed with `string` where the generator wrote one of the kinds above.
export const PROTOTYPES = table as unknown as Readonly<Record<FunctionName, Prototype>>
