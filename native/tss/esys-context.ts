import { Arena, SLOT_BYTES } from './arena.ts'
import {
  type CallArguments,
  type CallMode,
  CallResult,
  checkedInteger,
  ESYS_TR_NONE,
  type EsysTr,
  type SessionUse,
} from './esys-call.ts'
import { loadFfi } from './ffi.ts'
import { TssLibraries } from './libraries.ts'
import { Marshalling } from './marshalling.ts'
import { type CallPlan, NativeCalls, SESSION_PARAMETER } from './native-calls.ts'
import type { FunctionName } from './prototypes.ts'
import { ReturnCodes } from './return-codes.ts'
import { SessionAttributes } from './session-attributes.ts'
import { Tcti } from './tcti.ts'
import { TssError, tssErrorFromRc } from './tss-error.ts'

/** The transport below ESYS, for one turn. */
export interface Transport {
  /** Sends a command and gives the response, both whole and unchecked. @throws TssError of the transport */
  exchange(command: Uint8Array): Promise<Uint8Array>
  /** The error for a TPM's return code to the command `what`. */
  refusal(what: string, rc: number): TssError
}

export interface EsysContextOptions {
  /**
   * TCTI loader string, e.g. 'device:/dev/tpmrm0' or 'swtpm:host=127.0.0.1,port=2321'. There is no default on purpose.
   */
  readonly tcti: string
  readonly mode: CallMode
  /** Defaults to what loadFfi() finds. */
  readonly libraries?: TssLibraries
}

/**
 * One connection to a TPM through ESYS, driven by the prototype table: structures go in and come out in TPM wire form,
 * and tpm2-tss itself converts between that and its C structures, of which nothing is known here.
 *
 * A context is not thread-safe, so calls queue and run one after another. Errors: TssError with the whole return code;
 * TypeError and RangeError for misuse, before anything is called.
 */
export class EsysContext {
  readonly tcti: string
  readonly #mode: CallMode
  readonly #libraries: TssLibraries
  readonly #arena: Arena
  readonly #natives: NativeCalls
  readonly #codes: ReturnCodes
  readonly #marshalling: Marshalling
  readonly #sessions: SessionAttributes
  readonly #esysCell: number
  readonly #tctiCell: number
  #tcti: Tcti | undefined
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
    this.#natives = new NativeCalls(this.#arena, libraries)
    this.#codes = new ReturnCodes(this.#arena, this.#natives, this.#arena.cell(27))
    this.#marshalling = new Marshalling(this.#arena, this.#natives, this.#codes, this.#arena.cell(26))
    this.#sessions = new SessionAttributes(this.#arena, this.#natives, this.#codes, this.#esysCell)
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

  /**
   * Runs `work` with the transport to itself, between two calls of ESYS: commands and responses as bytes. `work` must
   * not call this context, which waits for it.
   */
  exclusive<T>(work: (transport: Transport) => Promise<T>): Promise<T> {
    return this.#enqueue(() => {
      this.#tcti ??= new Tcti(this.#arena, this.#libraries, this.#natives, this.#codes, {
        mode: this.#mode,
        contextCell: this.#tctiCell,
        sizeCell: this.#arena.cell(28),
      })
      const tcti = this.#tcti
      return work({
        exchange: (command) => tcti.exchange(command),
        refusal: (what, rc) => tssErrorFromRc(what, rc, this.#codes.describe(rc)),
      })
    })
  }

  /** Esys_TR_Serialize: the object as tpm2-tools and other users of ESYS read it from a file. */
  serialize(object: EsysTr): Promise<Uint8Array> {
    return this.#enqueue(async () => {
      const { bytes } = this.#arena
      const plan = this.#natives.plan('Esys_TR_Serialize')
      const [buffer, size] = [this.#arena.cell(0), this.#arena.cell(1)]
      const frame = this.#arena.commandFrame
      this.#arena.clearCell(buffer)
      this.#arena.setPointer(frame, 0, this.#esysCell)
      this.#arena.setInteger(frame, 1, checkedInteger('object', object, 'u32'))
      this.#arena.setAddress(frame, 2, buffer)
      this.#arena.setAddress(frame, 3, size)
      plan.native.call()
      this.#codes.check('Esys_TR_Serialize', this.#arena.readResult(frame))
      try {
        const length = Math.min(this.#arena.word(size), SLOT_BYTES)
        const memcpy = this.#natives.marshaller('memcpy', ['u64', 'u64', 'u64'], 'pointer')
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

  /**
   * Ends after the calls already queued. Sessions and objects are the caller's to flush before; ESYS flushes nothing.
   */
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
    const plan = this.#natives.plan(name)
    const arena = this.#arena
    this.#sessions.prepare(plan, sessions)
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
            this.#marshalling.unmarshal(p.structure, value, slot, p.name)
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
    this.#codes.check(name, arena.readResult(frame))
    return this.#takeOutputs(plan)
  }

  async #run(plan: CallPlan): Promise<void> {
    if (this.#mode === 'sync') plan.native.call()
    else await plan.native.callAsync()
  }

  #takeOutputs(plan: CallPlan): CallResult {
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
        values.set(p.name, this.#marshalling.marshal(p.structure, cell))
      } catch (err) {
        failure ??= err // the other outputs are still to be freed
      } finally {
        this.#free(cell)
      }
    }
    if (failure !== undefined) throw failure
    const tr = values.get('sessionHandle') ?? values.get('objectHandle')
    if (typeof tr === 'number') this.#sessions.forget(tr)
    return new CallResult(values)
  }

  #free(cell: number): void {
    const free = this.#natives.plan('Esys_Free')
    this.#arena.setPointer(this.#arena.commandFrame, 0, cell)
    free.native.call()
    this.#arena.clearCell(cell)
  }

  async #initialize(): Promise<void> {
    const arena = this.#arena
    const frame = arena.commandFrame
    const initTcti = this.#natives.plan('Tss2_TctiLdr_Initialize')
    const initEsys = this.#natives.plan('Esys_Initialize')
    for (const name of ['Tss2_TctiLdr_Finalize', 'Esys_Finalize', 'Esys_Free'] as const) this.#natives.plan(name)
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
    const message = `no TPM through TCTI '${this.tcti}': 0x${rc.toString(16).padStart(8, '0')} (${this.#codes.describe(rc)}); check that the device or simulator is there and that its TCTI module (Debian package libtss2-tcti-*) is installed`
    throw new TssError('TSS_NO_TPM', message, { rc })
  }

  #finalize(): void {
    if (this.#closed) return
    this.#closed = true
    const arena = this.#arena
    if (!arena.isNull(this.#esysCell)) {
      arena.setAddress(arena.commandFrame, 0, this.#esysCell)
      this.#natives.plan('Esys_Finalize').native.call()
    }
    arena.setAddress(arena.commandFrame, 0, this.#tctiCell)
    this.#natives.plan('Tss2_TctiLdr_Finalize').native.call()
    arena.bytes.fill(0)
  }
}

function trOf(use: SessionUse | EsysTr | undefined): EsysTr {
  if (use === undefined) return ESYS_TR_NONE
  return typeof use === 'number' ? use : use.tr
}

function noop(): void {}
