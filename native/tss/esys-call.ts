/** An ESYS_TR: a number that means an object in one context and nothing in any other. Never kept elsewhere. */
export type EsysTr = number

/** ESYS_TR of what needs no loading (tss2_esys.h). PCR n is n. */
export const ESYS_TR_NONE = 0xfff
export const ESYS_TR_PASSWORD = 0x0ff
export const ESYS_TR_RH_OWNER = 0x101
export const ESYS_TR_RH_NULL = 0x107
export const ESYS_TR_RH_LOCKOUT = 0x10a
export const ESYS_TR_RH_ENDORSEMENT = 0x10b
export const ESYS_TR_RH_PLATFORM = 0x10c

/** `sync` blocks this thread during a command and is a third faster; `async` leaves the event loop running. */
export type CallMode = 'sync' | 'async'

/** A session as a command uses it. */
export interface SessionUse {
  readonly tr: EsysTr
  /** Whether to encrypt the first parameter of command and response, each where the command allows it. */
  readonly protect: boolean
  /** For a command that needs no authorization and has nothing to encrypt: audit it, which authenticates the answer. */
  readonly audit?: boolean
}

/** Arguments by the parameter names of the C header: integers, wire bytes for structures, null for a NULL pointer. */
export type CallArguments = Readonly<Record<string, number | Uint8Array | null>>

/** What a call gave: integers and wire bytes by the parameter names of the C header. */
export class CallResult {
  readonly #values: ReadonlyMap<string, number | Uint8Array>
  constructor(values: ReadonlyMap<string, number | Uint8Array>) {
    this.#values = values
  }

  /** @throws TypeError when there is no such structure among the outputs */
  bytes(name: string): Uint8Array {
    const v = this.#values.get(name)
    if (!(v instanceof Uint8Array)) throw new TypeError(`the call has no structure '${name}' among its outputs`)
    return v
  }

  /** @throws TypeError when there is no such integer among the outputs */
  integer(name: string): number {
    const v = this.#values.get(name)
    if (typeof v !== 'number') throw new TypeError(`the call has no integer '${name}' among its outputs`)
    return v
  }
}

const MAXIMA: Readonly<Record<string, number>> = {
  u8: 0xff,
  u16: 0xffff,
  u32: 0xffffffff,
  u64: Number.MAX_SAFE_INTEGER,
}

/**
 * ffi-napi makes 0 of an integer that is undefined: nothing goes down that is not an integer of the parameter's size.
 */
export function checkedInteger(what: string, value: unknown, kind: string): number {
  if (typeof value === 'number' && Number.isInteger(value)) {
    if (kind === 'i32' && value >= -0x80000000 && value <= 0x7fffffff) return value >>> 0
    if (value >= 0 && value <= (MAXIMA[kind] ?? -1)) return value
  }
  throw new TypeError(`${what} must be an integer of type ${kind}, got ${String(value)}`)
}
