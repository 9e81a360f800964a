import { randomBytes, randomFillSync } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  decodePlainResponse,
  decodePublic,
  encodeCommand,
  type HmacSession,
  openResponse,
  openStartedSession,
  SessionError,
  sealCommand,
  shareSecret,
  startSessionCommand,
  TPM_CC_FlushContext,
  type TpmCommand,
  WireError,
  WireWriter,
} from '../../attestation/tpm2/index.ts'
import type { EsysContext, Transport } from './esys-context.ts'
import { TssError } from './tss-error.ts'

/** A command for the session. */
export interface ProtectedCommand extends TpmCommand {
  /** Its name in TPM 2.0 Part 3, for messages. */
  readonly name: string
  /** TPMA_SESSION bits besides continueSession: what is encrypted, and `audit` where nothing is authorized. */
  readonly attributes: number
}

/** As large as the session's hash makes them useful. */
const NONCE_BYTES = 32
const NONCES_AT_ONCE = 128 // drawing 32 bytes costs hardly less than drawing 4096
/** YIELDED, TESTING, NV_RATE and RETRY: the TPM has not begun, and wants the same command again. */
const TRY_AGAIN: ReadonlySet<number> = new Set([0x908, 0x90a, 0x920, 0x922])
/** Milliseconds before each further try; a self test takes up to a second. */
const PAUSES_MS = [5, 20, 75, 300, 1000] as const

/**
 * A salted HMAC session of our own, for the commands that run all the time: the same as ESYS makes, but each hash of
 * tpm2-tss 3 sets up OpenSSL anew, which costs milliseconds a command. The mathematics are in attestation/tpm2.
 *
 * A command is sealed, sent and its answer judged in one turn of the context's queue. Whoever gets an error from it
 * ends it: nobody knows then which nonce the TPM has.
 */
export class SaltedSession {
  readonly #esys: EsysContext
  readonly #nonces = new Uint8Array(NONCES_AT_ONCE * NONCE_BYTES)
  #noncesUsed = NONCES_AT_ONCE
  #state: HmacSession
  #over = false

  private constructor(esys: EsysContext, state: HmacSession) {
    this.#esys = esys
    this.#state = state
  }

  /**
   * @param saltKey TPM handle and TPMT_PUBLIC of a decryption key: whoever has its private part can do as the TPM does
   * @throws TssError; WireError, KeyError for a public area that is none
   */
  static async start(
    esys: EsysContext,
    saltKey: { readonly handle: number; readonly public: Uint8Array },
  ): Promise<SaltedSession> {
    const key = decodePublic(saltKey.public)
    if (key.type !== 'rsa' && key.type !== 'ecc') throw new TypeError(`a ${key.type} object takes no salt`)
    const salt = shareSecret(key, 'SECRET', (n) => randomBytes(n))
    const nonce = randomBytes(NONCE_BYTES)
    const state = await esys.exclusive(async (transport) => {
      const command = startSessionCommand(saltKey.handle, salt, nonce)
      const name = 'TPM2_StartAuthSession'
      return (await exchange(transport, name, command, (bytes) => openStartedSession(bytes, salt, nonce))).session
    })
    return new SaltedSession(esys, state)
  }

  /**
   * @returns the response parameters, decrypted
   * @throws TssError TSS_TAMPERED, TSS_SESSION_LOST, TSS_BAD_RESPONSE and what the TPM refuses
   */
  execute(command: ProtectedCommand): Promise<Uint8Array> {
    return this.#esys.exclusive(async (transport) => {
      if (this.#over)
        throw new TssError('TSS_SESSION_LOST', `${command.name}: its session ended with the command before`)
      const sealed = sealCommand(this.#state, command, command.attributes, this.#nonce())
      try {
        const answer = await exchange(transport, command.name, sealed.bytes, (bytes) => openResponse(sealed, bytes))
        this.#state = answer.session
        return answer.parameters
      } catch (err) {
        this.#over = true // for those that wait for their turn already
        throw err
      }
    })
  }

  #nonce(): Uint8Array {
    if (this.#noncesUsed === NONCES_AT_ONCE) {
      randomFillSync(this.#nonces)
      this.#noncesUsed = 0
    }
    const at = NONCE_BYTES * this.#noncesUsed++
    return this.#nonces.slice(at, at + NONCE_BYTES)
  }

  /** Flushes it. What cannot be flushed is gone with the TPM or its session. */
  async end(): Promise<void> {
    this.#over = true
    const parameters = new WireWriter().u32(this.#state.handle).finish()
    const command = encodeCommand({ code: TPM_CC_FlushContext, handles: [], parameters })
    try {
      await this.#esys.exclusive((transport) => exchange(transport, 'TPM2_FlushContext', command, decodePlainResponse))
    } catch (err) {
      if (!(err instanceof TssError)) throw err
    }
  }
}

type Answer<T> = { readonly ok: false; readonly rc: number } | ({ readonly ok: true } & T)

/**
 * Sends the same bytes until the TPM takes them: a refusal leaves the session's nonces as they are, so nothing can be
 * done twice.
 */
async function exchange<T>(
  transport: Transport,
  name: string,
  command: Uint8Array,
  open: (response: Uint8Array) => Answer<T>,
): Promise<{ readonly ok: true } & T> {
  for (let attempt = 0; ; attempt++) {
    const answer = opened(name, open, await transport.exchange(command))
    if (answer.ok) return answer
    const pauseMs = PAUSES_MS[attempt]
    if (pauseMs === undefined || !TRY_AGAIN.has(answer.rc)) throw refused(transport, name, answer.rc)
    await sleep(pauseMs)
  }
}

function opened<T>(name: string, open: (response: Uint8Array) => Answer<T>, response: Uint8Array): Answer<T> {
  try {
    return open(response)
  } catch (cause) {
    if (cause instanceof SessionError) throw new TssError('TSS_TAMPERED', `${name}: ${cause.message}`, { cause })
    if (cause instanceof WireError) throw new TssError('TSS_BAD_RESPONSE', `${name}: ${cause.message}`, { cause })
    throw cause
  }
}

// Format-one codes about session 1 (TPM 2.0 Part 2 r1.59 §6.6.2): 0x800 and the number in bits 8 to 10.
const SESSION_1 = 0x980
const OUT_OF_STEP: ReadonlySet<number> = new Set([SESSION_1 + 0x0e, SESSION_1 + 0x0f, SESSION_1 + 0x22]) // AUTH_FAIL, NONCE, BAD_AUTH
const NO_SUCH_SESSION: ReadonlySet<number> = new Set([SESSION_1 + 0x04, SESSION_1 + 0x0b]) // VALUE, HANDLE

/** In this session all authorization values are empty: a wrong HMAC is no wrong password. */
function refused(transport: Transport, name: string, rc: number): TssError {
  const error = transport.refusal(name, rc)
  if (NO_SUCH_SESSION.has(rc)) return new TssError('TSS_SESSION_LOST', error.message, { cause: error, rc })
  if (!OUT_OF_STEP.has(rc)) return error
  const message = `${error.message}: the command that the TPM has seen is not the one that was sent`
  return new TssError('TSS_TAMPERED', message, { cause: error, rc })
}
