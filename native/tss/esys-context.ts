import { Arena, SLOT_BYTES } from './arena.ts'
import { loadFfi } from './ffi.ts'
import type { NativeFunction } from './ffi-adapter.ts'
import { TssLibraries } from './libraries.ts'
import { type FunctionName, PROTOTYPES, type Prototype, type ScalarKind } from './prototypes.ts'
import { TssError, tssErrorFromRc } from './tss-error.ts'

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

/** TPMA_SESSION bits (TPM 2.0 Part 2 r1.59 §8.4). */
const CONTINUE = 0x01
const DECRYPT = 0x20
const ENCRYPT = 0x40
const AUDIT = 0x80

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

/** `sync` blocks this thread during a command and is a third faster; `async` leaves the event loop running. */
export type CallMode = 'sync' | 'async'

export interface EsysContextOptions {
  /** TCTI loader string, e.g. 'device:/dev/tpmrm0' or 'swtpm:host=127.0.0.1,port=2321'. There is no default on purpose. */
  readonly tcti: string
  readonly mode: CallMode
  /** Defaults to what loadFfi() finds. */
  readonly libraries?: TssLibraries
}

interface Parameter {
  readonly name: string
  readonly kind: string
  /** Structure name of an `in T` or `out T`. */
  readonly structure: string | undefined
}
interface Plan {
  readonly name: FunctionName
  readonly prototype: Prototype
  readonly parameters: readonly Parameter[]
  readonly native: NativeFunction
  readonly inputNames: ReadonlySet<string>
  readonly canDecrypt: boolean
  readonly canEncrypt: boolean
}

const SESSION_PARAMETER = /^(?:shandle|optionalSession)([123])$/

/**
 * One connection to a TPM through ESYS, driven by the prototype table: structures go in and come out in TPM wire form, and
 * tpm2-tss itself converts between that and its C structures, of which nothing is known here.
 *
 * A context is not thread-safe, so calls queue and run one after another. Errors: TssError with the whole return code;
 * TypeError and RangeError for misuse, before anything is called.
 */
export class EsysContext {
  readonly tcti: string
  readonly #mode: CallMode
  readonly #libraries: TssLibraries
  readonly #arena: Arena
  readonly #plans = new Map<FunctionName, Plan>()
  readonly #marshallers = new Map<string, NativeFunction>()
  readonly #attributes = new Map<EsysTr, number>()
  readonly #esysCell: number
  readonly #tctiCell: number
  readonly #offsetCell: number
  readonly #scratchCell: number
  #tail: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined
  #closed = false

  private constructor(options: EsysContextOptions, libraries: TssLibraries) {
    this.tcti = options.tcti
    this.#mode = options.mode
    this.#libraries = libraries
    this.#arena = new Arena(libraries.ffi)
    this.#esysCell = this.#arena.cell(24) // cells 0 to 19 belong to the parameters of a call
    this.#tctiCell = this.#arena.cell(25)
    this.#offsetCell = this.#arena.cell(26)
    this.#scratchCell = this.#arena.cell(27)
  }

  /**
   * @throws RangeError for an empty TCTI string (tpm2-tss would pick any TPM it finds)
   * @throws TssError TSS_FFI_UNAVAILABLE, TSS_LIBRARY_MISSING or TSS_NO_TPM
   */
  static async open(options: EsysContextOptions): Promise<EsysContext> {
    if (options.tcti === '' || options.tcti.length > 1024 || options.tcti.includes('\0')) {
      throw new RangeError('the TCTI string must name a transport, e.g. device:/dev/tpmrm0')
    }
    process.env['TSS2_LOG'] ??= 'all+NONE' // tpm2-tss writes to standard error otherwise
    const context = new EsysContext(options, options.libraries ?? new TssLibraries(loadFfi()))
    await context.#initialize()
    return context
  }

  /** Calls a function of ESYS in its turn. `sessions` are shandle1 to shandle3; absent ones are ESYS_TR_NONE. */
  call(name: FunctionName, args: CallArguments, sessions: readonly (SessionUse | EsysTr)[] = []): Promise<CallResult> {
    return this.#enqueue(() => this.#perform(name, args, sessions))
  }

  /** Esys_TR_Serialize: the object as tpm2-tools and other users of ESYS read it from a file. */
  serialize(object: EsysTr): Promise<Uint8Array> {
    return this.#enqueue(async () => {
      const { bytes } = this.#arena
      const plan = this.#plan('Esys_TR_Serialize')
      const [buffer, size] = [this.#arena.cell(0), this.#arena.cell(1)]
      const frame = this.#arena.commandFrame
      this.#arena.clearCell(buffer)
      this.#arena.setPointer(frame, 0, this.#esysCell)
      this.#arena.setInteger(frame, 1, checkedInteger('object', object, 'u32'))
      this.#arena.setAddress(frame, 2, buffer)
      this.#arena.setAddress(frame, 3, size)
      plan.native.call()
      this.#check('Esys_TR_Serialize', this.#arena.readResult(frame))
      try {
        const length = Math.min(this.#arena.word(size), SLOT_BYTES)
        const memcpy = this.#marshaller('memcpy', ['u64', 'u64', 'u64'], 'pointer')
        this.#arena.setAddress(this.#arena.marshalFrame, 0, this.#arena.wire)
        this.#arena.setPointer(this.#arena.marshalFrame, 1, buffer)
        this.#arena.setInteger(this.#arena.marshalFrame, 2, length)
        memcpy.call()
        return new Uint8Array(bytes.subarray(this.#arena.wire, this.#arena.wire + length))
      } finally {
        this.#free(buffer)
      }
    })
  }

  /** Ends after the calls already queued. Sessions and objects are the caller's to flush before; ESYS flushes nothing. */
  close(): Promise<void> {
    this.#closing ??= this.#enqueue(async () => {
      this.#finalize()
    })
    return this.#closing
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(new TssError('TSS_CLOSED', 'the TPM context is closed'))
    const turn = this.#tail.then(work)
    this.#tail = turn.then(noop, noop) // a failure is its own caller's; the next call has its turn all the same
    return turn
  }

  async #perform(
    name: FunctionName,
    args: CallArguments,
    sessions: readonly (SessionUse | EsysTr)[],
  ): Promise<CallResult> {
    const plan = this.#plan(name)
    const arena = this.#arena
    this.#prepareSessions(plan, sessions)
    const frame = arena.commandFrame
    let slots = 0
    try {
      for (const [i, p] of plan.parameters.entries()) {
        if (p.kind === 'context') arena.setPointer(frame, i, this.#esysCell)
        else if (p.kind === 'inout u32') {
          arena.setCell(arena.cell(i), checkedInteger(`${name}: ${p.name}`, args[p.name], 'u32'))
          arena.setAddress(frame, i, arena.cell(i))
        } else if (p.kind.startsWith('out ')) {
          arena.clearCell(arena.cell(i))
          arena.setAddress(frame, i, arena.cell(i))
        } else if (p.structure !== undefined) {
          const value = args[p.name]
          if (value === null) arena.setInteger(frame, i, 0)
          else if (value instanceof Uint8Array) {
            const slot = arena.slot(slots++)
            this.#unmarshal(p.structure, value, slot, p.name)
            arena.setAddress(frame, i, slot)
          } else throw new TypeError(`${name}: ${p.name} must be the wire bytes of a ${p.structure}, or null`)
        } else {
          const session = SESSION_PARAMETER.exec(p.name)
          const value = session === null ? args[p.name] : trOf(sessions[Number(session[1]) - 1])
          arena.setInteger(frame, i, checkedInteger(`${name}: ${p.name}`, value, p.kind))
        }
      }
      for (const given in args) {
        if (!plan.inputNames.has(given)) throw new TypeError(`${name} has no parameter '${given}'`)
      }
      await this.#run(plan)
    } finally {
      for (let n = 0; n < slots; n++) arena.bytes.fill(0, arena.slot(n), arena.slot(n) + SLOT_BYTES)
    }
    this.#check(name, arena.readResult(frame))
    return this.#takeOutputs(plan)
  }

  async #run(plan: Plan): Promise<void> {
    if (this.#mode === 'sync') plan.native.call()
    else await plan.native.callAsync()
  }

  /** ESYS refuses to encrypt what cannot be encrypted, so the attributes follow the command. */
  #prepareSessions(plan: Plan, sessions: readonly (SessionUse | EsysTr)[]): void {
    for (const use of sessions) {
      if (typeof use === 'number') continue
      let wanted = CONTINUE
      if (use.protect) {
        if (plan.canDecrypt) wanted |= DECRYPT
        if (plan.canEncrypt) wanted |= ENCRYPT
      }
      if (use.audit === true) wanted |= AUDIT
      if (this.#attributes.get(use.tr) === wanted) continue
      const set = this.#plan('Esys_TRSess_SetAttributes')
      const frame = this.#arena.commandFrame
      this.#arena.setPointer(frame, 0, this.#esysCell)
      this.#arena.setInteger(frame, 1, checkedInteger('session', use.tr, 'u32'))
      this.#arena.setInteger(frame, 2, wanted)
      this.#arena.setInteger(frame, 3, 0xff)
      set.native.call()
      this.#check('Esys_TRSess_SetAttributes', this.#arena.readResult(frame))
      this.#attributes.set(use.tr, wanted)
    }
  }

  #takeOutputs(plan: Plan): CallResult {
    const arena = this.#arena
    const values = new Map<string, number | Uint8Array>()
    let failure: unknown
    for (const [i, p] of plan.parameters.entries()) {
      if (!p.kind.startsWith('out ')) continue
      const cell = arena.cell(i)
      if (p.structure === undefined) {
        values.set(p.name, arena.word(cell))
        continue
      }
      if (arena.isNull(cell)) continue // e.g. the ticket of PolicySigned where none was asked for
      try {
        values.set(p.name, this.#marshal(p.structure, cell))
      } catch (err) {
        failure ??= err // the other outputs are still to be freed
      } finally {
        this.#free(cell)
      }
    }
    if (failure !== undefined) throw failure
    const tr = values.get('sessionHandle') ?? values.get('objectHandle')
    if (typeof tr === 'number') this.#attributes.delete(tr) // ESYS may give a number again that was flushed
    return new CallResult(values)
  }

  #unmarshal(structure: string, wire: Uint8Array, slot: number, parameter: string): void {
    if (wire.length > SLOT_BYTES) throw new RangeError(`${parameter}: ${wire.length} bytes, at most ${SLOT_BYTES}`)
    const arena = this.#arena
    const unmarshal = this.#marshaller(`Tss2_MU_${structure}_Unmarshal`, ['u64', 'u64', 'u64', 'u64'], 'u32')
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
      const message = `${parameter}: ${wire.length} bytes are no ${structure}: 0x${rc.toString(16).padStart(8, '0')} (${this.#describe(rc)})`
      throw new TssError('TSS_BAD_VALUE', message, { rc })
    }
    const read = arena.word(this.#offsetCell) // tpm2-tss itself ignores bytes that are left over
    if (read !== wire.length) {
      throw new TssError('TSS_BAD_VALUE', `${parameter}: ${structure} ends after ${read} of ${wire.length} bytes`)
    }
  }

  #marshal(structure: string, cell: number): Uint8Array {
    const arena = this.#arena
    const marshal = this.#marshaller(`Tss2_MU_${structure}_Marshal`, ['u64', 'u64', 'u64', 'u64'], 'u32')
    const frame = arena.marshalFrame
    arena.clearCell(this.#offsetCell)
    arena.setPointer(frame, 0, cell)
    arena.setAddress(frame, 1, arena.wire)
    arena.setInteger(frame, 2, SLOT_BYTES)
    arena.setAddress(frame, 3, this.#offsetCell)
    marshal.call()
    this.#check(`Tss2_MU_${structure}_Marshal`, arena.readResult(frame))
    const size = arena.word(this.#offsetCell)
    const out = new Uint8Array(arena.bytes.subarray(arena.wire, arena.wire + size))
    arena.bytes.fill(0, arena.wire, arena.wire + size)
    return out
  }

  #free(cell: number): void {
    const free = this.#plan('Esys_Free')
    this.#arena.setPointer(this.#arena.commandFrame, 0, cell)
    free.native.call()
    this.#arena.clearCell(cell)
  }

  #check(what: string, rc: number): void {
    if (rc !== 0) throw tssErrorFromRc(what, rc, this.#describe(rc))
  }

  /** Tss2_RC_Decode gives a pointer into a buffer of its own, which the next call overwrites: it is copied at once. */
  #describe(rc: number): string {
    const arena = this.#arena
    const decode = this.#plan('Tss2_RC_Decode')
    arena.setInteger(arena.commandFrame, 0, rc)
    decode.native.call()
    arena.keepResult(arena.commandFrame, this.#scratchCell)
    if (arena.isNull(this.#scratchCell)) return 'no description'
    const strncpy = this.#marshaller('strncpy', ['u64', 'u64', 'u64'], 'pointer')
    arena.setAddress(arena.marshalFrame, 0, arena.wire)
    arena.setPointer(arena.marshalFrame, 1, this.#scratchCell)
    arena.setInteger(arena.marshalFrame, 2, 511) // strncpy fills what is left with zeros
    strncpy.call()
    const end = arena.bytes.indexOf(0, arena.wire)
    const text = arena.bytes.toString('latin1', arena.wire, end)
    arena.bytes.fill(0, arena.wire, end)
    return text
  }

  async #initialize(): Promise<void> {
    const arena = this.#arena
    const frame = arena.commandFrame
    const initTcti = this.#plan('Tss2_TctiLdr_Initialize')
    const initEsys = this.#plan('Esys_Initialize')
    for (const name of ['Tss2_TctiLdr_Finalize', 'Esys_Finalize', 'Esys_Free'] as const) this.#plan(name)
    arena.bytes.write(`${this.tcti}\0`, arena.wire, 'utf8')
    arena.setAddress(frame, 0, arena.wire)
    arena.setAddress(frame, 1, this.#tctiCell)
    await this.#run(initTcti)
    this.#checkOpened(arena.readResult(frame))
    arena.setAddress(frame, 0, this.#esysCell)
    arena.setPointer(frame, 1, this.#tctiCell)
    arena.setInteger(frame, 2, 0)
    await this.#run(initEsys)
    const rc = arena.readResult(frame)
    if (rc !== 0) this.#finalize()
    this.#checkOpened(rc)
  }

  #checkOpened(rc: number): void {
    if (rc === 0) return
    const message = `no TPM through TCTI '${this.tcti}': 0x${rc.toString(16).padStart(8, '0')} (${this.#describe(rc)}); check that the device or simulator is there and that its TCTI module (Debian package libtss2-tcti-*) is installed`
    throw new TssError('TSS_NO_TPM', message, { rc })
  }

  #finalize(): void {
    if (this.#closed) return
    this.#closed = true
    const arena = this.#arena
    if (!arena.isNull(this.#esysCell)) {
      arena.setAddress(arena.commandFrame, 0, this.#esysCell)
      this.#plan('Esys_Finalize').native.call()
    }
    arena.setAddress(arena.commandFrame, 0, this.#tctiCell)
    this.#plan('Tss2_TctiLdr_Finalize').native.call()
    arena.bytes.fill(0)
  }

  #plan(name: FunctionName): Plan {
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
    const plan: Plan = {
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

  #marshaller(symbol: string, parameters: readonly ScalarKind[], returns: Prototype['returns']): NativeFunction {
    const known = this.#marshallers.get(symbol)
    if (known !== undefined) return known
    const library = symbol.startsWith('Tss2_MU_') ? 'mu' : 'rc'
    const bound = this.#libraries.bind(library, symbol, returns, parameters, this.#arena.marshalFrame)
    this.#marshallers.set(symbol, bound)
    return bound
  }
}

/** Handles are outside the parameters, so they do not count when looking for the first one. */
const HANDLE_OUTPUTS: ReadonlySet<string> = new Set([
  'objectHandle',
  'sessionHandle',
  'nvHandle',
  'newObjectHandle',
  'loadedHandle',
])

function lastSession(parameters: readonly Parameter[]): number {
  return parameters.findLastIndex((p) => SESSION_PARAMETER.test(p.name))
}

function trOf(use: SessionUse | EsysTr | undefined): EsysTr {
  if (use === undefined) return ESYS_TR_NONE
  return typeof use === 'number' ? use : use.tr
}

function nativeKind(kind: string): ScalarKind {
  if (kind === 'u8' || kind === 'u16' || kind === 'u32' || kind === 'i32' || kind === 'u64') return kind
  return 'u64' // contexts, structures, outputs and plain pointers
}

const MAXIMA: Readonly<Record<string, number>> = {
  u8: 0xff,
  u16: 0xffff,
  u32: 0xffffffff,
  u64: Number.MAX_SAFE_INTEGER,
}

/** ffi-napi makes 0 of an integer that is undefined: nothing goes down that is not an integer of the parameter's size. */
function checkedInteger(what: string, value: unknown, kind: string): number {
  if (typeof value === 'number' && Number.isInteger(value)) {
    if (kind === 'i32' && value >= -0x80000000 && value <= 0x7fffffff) return value >>> 0
    if (value >= 0 && value <= (MAXIMA[kind] ?? -1)) return value
  }
  throw new TypeError(`${what} must be an integer of type ${kind}, got ${String(value)}`)
}

function noop(): void {}
