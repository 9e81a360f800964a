import { encodeSymDef, hashId } from '../../attestation/tpm2/index.ts'
import { type CallArguments, type CallResult, ESYS_TR_NONE, type EsysTr, type SessionUse } from './esys-call.ts'
import { EsysContext, type EsysContextOptions } from './esys-context.ts'
import { HandleRegistry } from './handles.ts'
import type { FunctionName } from './prototypes.ts'
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

export interface TpmConnectionOptions extends EsysContextOptions {
  /** The decryption key that salts the protected session; released once the session is there. */
  readonly saltKey: (connection: TpmConnection) => Promise<Lease>
}

/**
 * An ESYS context with what a program needs around it: handles with reference counts, and one salted HMAC session with AES-128-CFB
 * parameter encryption that authorizes and protects commands. It is started when first needed and kept, because starting one
 * costs an asymmetric decryption; a TPM that was restarted does not know it any more, so no protected command can
 * reach a TPM that lost its registers unnoticed.
 */
export class TpmConnection {
  readonly esys: EsysContext
  readonly handles: HandleRegistry
  readonly #saltKey: (connection: TpmConnection) => Promise<Lease>
  #session: Promise<SessionUse> | undefined

  private constructor(esys: EsysContext, saltKey: (connection: TpmConnection) => Promise<Lease>) {
    this.esys = esys
    this.handles = new HandleRegistry(esys)
    this.#saltKey = saltKey
  }

  /** @throws as EsysContext.open */
  static async open(options: TpmConnectionOptions): Promise<TpmConnection> {
    return new TpmConnection(await EsysContext.open(options), options.saltKey)
  }

  /** Calls ESYS. After a failure of a command that used the protected session, that session is flushed and forgotten. */
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

  /** The protected session, started if there is none. It authorizes objects and hierarchies whose authorization is empty. */
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

  /** The same session, to authenticate the answer of a command that needs no authorization. */
  async auditing(): Promise<SessionUse> {
    return { tr: (await this.session()).tr, protect: false, audit: true }
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

  /** Flushes the protected session and ends the context. */
  async close(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    const use = await session?.catch(() => undefined) // its failure was reported to whoever asked for it
    if (use !== undefined) await this.#flushQuietly(use.tr)
    await this.esys.close()
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
