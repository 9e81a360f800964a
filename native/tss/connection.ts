import { encodeSymDef, hashId } from '../../attestation/tpm2/index.ts'
import { type CallArguments, type CallResult, ESYS_TR_NONE, type EsysTr, type SessionUse } from './esys-call.ts'
import { EsysContext, type EsysContextOptions } from './esys-context.ts'
import { HandleRegistry } from './handles.ts'
import type { FunctionName } from './prototypes.ts'
import { type ProtectedCommand, SaltedSession } from './salted-session.ts'
import { TssError } from './tss-error.ts'

/** TPM_SE (TPM 2.0 Part 2 r1.59 §6.11). */
const TPM_SE_HMAC = 0x00
const TPM_SE_POLICY = 0x01
const AES_128_CFB = encodeSymDef({ alg: 'aes', keyBits: 128, mode: 'cfb' })

/** An object in the TPM for the time that it is needed. */
export interface Lease {
  readonly tr: EsysTr
  /** Flushes or closes it, as it needs. Settles also when the TPM is gone. */
  release(): Promise<void>
}

/** A decryption key with its TPMT_PUBLIC, as it is known to be and not only as it was read. */
export interface SaltKey extends Lease {
  readonly public: Uint8Array
}

export interface TpmConnectionOptions extends EsysContextOptions {
  /** The key that salts the sessions; released once a session is there. */
  readonly saltKey: (connection: TpmConnection) => Promise<SaltKey>
}

/**
 * An ESYS context with what a program needs around it: handles with reference counts, and salted HMAC sessions with
 * AES-128-CFB parameter encryption. There are two, each started when first needed and kept, because starting one costs
 * an asymmetric decryption: the session of send(), our own and quick, and that of session(), of ESYS, for everything
 * else that needs one. A TPM that was restarted knows neither any more.
 */
export class TpmConnection {
  readonly esys: EsysContext
  readonly handles: HandleRegistry
  readonly #saltKey: (connection: TpmConnection) => Promise<SaltKey>
  #session: Promise<SessionUse> | undefined
  #salted: Promise<SaltedSession> | undefined

  private constructor(esys: EsysContext, saltKey: (connection: TpmConnection) => Promise<SaltKey>) {
    this.esys = esys
    this.handles = new HandleRegistry(esys)
    this.#saltKey = saltKey
  }

  /** @throws as EsysContext.open */
  static async open(options: TpmConnectionOptions): Promise<TpmConnection> {
    return new TpmConnection(await EsysContext.open(options), options.saltKey)
  }

  /**
   * Calls ESYS. After a failure of a command that used the protected session, that session is flushed and forgotten.
   */
  async call(
    name: FunctionName,
    args: CallArguments,
    sessions: readonly (SessionUse | EsysTr)[] = [],
  ): Promise<CallResult> {
    try {
      return await this.esys.call(name, args, sessions)
    } catch (err) {
      if (err instanceof TssError) await this.#dropSession(sessions)
      throw err
    }
  }

  /**
   * Runs a command in the session of our own. After a failure that session is flushed and the next command starts
   * another.
   *
   * @returns the response parameters, decrypted and authenticated
   * @throws TssError TSS_TAMPERED, TSS_SESSION_LOST and others
   */
  async send(command: ProtectedCommand): Promise<Uint8Array> {
    const starting = this.#salted ?? this.#startSalted()
    const session = await starting
    try {
      return await session.execute(command)
    } catch (err) {
      if (this.#salted === starting) {
        this.#salted = undefined
        await session.end()
      }
      throw err
    }
  }

  /**
   * The session of ESYS, started if there is none. It authorizes objects and hierarchies whose authorization is empty.
   */
  session(): Promise<SessionUse> {
    if (this.#session === undefined) {
      const starting = this.#startSession()
      this.#session = starting
      starting.catch(() => {
        if (this.#session === starting) this.#session = undefined
      })
    }
    return this.#session
  }

  /** Flushes the session of ESYS if there is one: a TPM has three slots, and what needs it is rare. */
  async endSession(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    const use = await session?.catch(() => undefined) // its failure was reported to whoever asked for it
    if (use !== undefined) await this.#flushQuietly(use.tr)
  }

  /**
   * Runs `use` with a fresh policy session, which is flushed in every case.
   *
   * @param hash of the policy, which is the nameAlg of the object it opens
   */
  async withPolicySession<T>(
    hash: 'sha256' | 'sha384' | 'sha512',
    use: (session: SessionUse) => Promise<T>,
  ): Promise<T> {
    const started = await this.call('Esys_StartAuthSession', {
      tpmKey: ESYS_TR_NONE,
      bind: ESYS_TR_NONE,
      nonceCaller: null,
      sessionType: TPM_SE_POLICY,
      symmetric: AES_128_CFB,
      authHash: hashId(hash),
    })
    const tr = started.integer('sessionHandle')
    try {
      return await use({ tr, protect: false })
    } finally {
      await this.#flushQuietly(tr)
    }
  }

  /** Flushes a transient object or session. */
  async flush(tr: EsysTr): Promise<void> {
    await this.call('Esys_FlushContext', { flushHandle: tr })
  }

  /** A lease on a transient object of which the caller holds the handle. */
  transient(tr: EsysTr): Lease {
    return { tr, release: () => this.#flushQuietly(tr) }
  }

  /** Flushes the sessions and ends the context. */
  async close(): Promise<void> {
    const salted = this.#salted
    this.#salted = undefined
    await (await salted?.catch(() => undefined))?.end()
    await this.endSession()
    await this.esys.close()
  }

  #startSalted(): Promise<SaltedSession> {
    const start = async () => {
      const key = await this.#saltKey(this)
      try {
        const handle = await tpmHandleOf(this, key.tr)
        return await SaltedSession.start(this.esys, { handle, public: key.public })
      } finally {
        await key.release()
      }
    }
    const starting = start()
    this.#salted = starting
    starting.catch(() => {
      if (this.#salted === starting) this.#salted = undefined
    })
    return starting
  }

  async #startSession(): Promise<SessionUse> {
    const key = await this.#saltKey(this)
    try {
      const started = await this.esys.call('Esys_StartAuthSession', {
        tpmKey: key.tr,
        bind: ESYS_TR_NONE,
        nonceCaller: null,
        sessionType: TPM_SE_HMAC,
        symmetric: AES_128_CFB,
        authHash: hashId('sha256'),
      })
      return { tr: started.integer('sessionHandle'), protect: true }
    } finally {
      await key.release()
    }
  }

  async #dropSession(used: readonly (SessionUse | EsysTr)[]): Promise<void> {
    const session = this.#session
    if (session === undefined) return
    const use = await session.catch(() => undefined)
    if (use === undefined || !used.some((u) => typeof u !== 'number' && u.tr === use.tr)) return
    if (this.#session === session) this.#session = undefined
    await this.#flushQuietly(use.tr)
  }

  /** What cannot be flushed is gone with the TPM or its session; the error that led here is the one to report. */
  async #flushQuietly(tr: EsysTr): Promise<void> {
    try {
      await this.esys.call('Esys_FlushContext', { flushHandle: tr })
    } catch (err) {
      if (!(err instanceof TssError)) throw err
    }
  }
}

/** The handle by which the TPM, or the resource manager before it, knows an object. */
export async function tpmHandleOf(c: TpmConnection, tr: EsysTr): Promise<number> {
  return (await c.call('Esys_TR_GetTpmHandle', { esys_handle: tr })).integer('tpm_handle')
}
