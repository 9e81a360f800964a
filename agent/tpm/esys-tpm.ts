import type { HashAlgorithm } from '../../attestation/crypto/index.ts'
import {
  type Digest,
  decodeQuoteAttest,
  type PcrIndex,
  type PcrSelection,
  type PcrValue,
} from '../../attestation/tpm2/index.ts'
import {
  activateCredential,
  type CallMode,
  ESYS_TR_PASSWORD,
  type EsysTr,
  extendPcr,
  getPcrAllocation,
  getTpmProperty,
  type Lease,
  quote,
  readClock,
  readPcrs,
  type SessionUse,
  shutdown,
  startup,
  sweepLeakedHandles,
  TPM_PT,
  TpmConnection,
  TssError,
  type TssLibraries,
} from '../../native/tss/index.ts'
import type { ClockReading, QuoteBytes, Tpm, TpmDescription, TpmIdentity } from '../ports.ts'
import { type AttestationKey, provisionAttestationKey, withEndorsementKey } from './attestation-key.ts'
import { type EndorsementKey, findEndorsementKey, loadEndorsementKey } from './endorsement-key.ts'
import { TpmError } from './tpm-error.ts'
import { translate } from './translate-error.ts'

export interface EsysTpmOptions {
  /** TCTI loader string, e.g. 'device:/dev/tpmrm0'. */
  readonly tcti: string
  readonly mode: CallMode
  readonly libraries?: TssLibraries
  /** The protected session for extends, quotes and reads too; see TpmClientOptions. Default false. */
  readonly protectAll?: boolean
}

/** After this long without a look at the counters the next command waits for one. */
const CLOCK_CHECK_MS = 10

interface Identity {
  readonly ek: EndorsementKey
  readonly ak: AttestationKey
  readonly akLease: Lease
}

/**
 * The agent's TPM in this very process, without deadlines: a TPM that hangs blocks it for ever. The agent itself uses TpmClient,
 * which runs this in a process that can be killed.
 */
export class EsysTpm implements Tpm {
  readonly #connection: TpmConnection
  readonly #startedByUs: boolean
  readonly #protectAll: boolean
  readonly #start: ClockReading
  #restarted = false
  #clockCheckedAt = performance.now()
  #ek: Promise<EndorsementKey> | undefined
  #identity: Promise<Identity> | undefined

  private constructor(
    connection: TpmConnection,
    start: ClockReading,
    options: { startedByUs: boolean; protectAll: boolean; salt: { key?: () => Promise<Lease> } },
  ) {
    this.#connection = connection
    this.#start = start
    this.#startedByUs = options.startedByUs
    this.#protectAll = options.protectAll
    const { salt } = options
    salt.key = async () => loadEndorsementKey(connection, await this.#endorsementKey())
  }

  /**
   * Connects, starts a TPM that nobody has started (a simulator), and flushes what an earlier process left behind.
   *
   * @throws TpmError TPM_LIBRARY_MISSING, TPM_GONE and others
   */
  static async open(options: EsysTpmOptions): Promise<EsysTpm> {
    const salt: { key?: () => Promise<Lease> } = {}
    const saltKey = () => salt.key?.() ?? Promise.reject(new Error('the TPM is not open yet'))
    const connection = await translate(() => TpmConnection.open({ ...options, saltKey }))
    try {
      return await translate(async () => {
        const startedByUs = await startIfNeeded(connection)
        await sweepLeakedHandles(connection)
        const { protectAll = false } = options
        return new EsysTpm(connection, await readClockOf(connection), { startedByUs, protectAll, salt })
      })
    } catch (err) {
      await connection.close()
      throw err
    }
  }

  describe(): Promise<TpmDescription> {
    return translate(async () => {
      const c = this.#connection
      const [manufacturer, high, low] = [
        await getTpmProperty(c, TPM_PT.MANUFACTURER),
        await getTpmProperty(c, TPM_PT.FIRMWARE_VERSION_1),
        await getTpmProperty(c, TPM_PT.FIRMWARE_VERSION_2),
      ]
      const allocation = await getPcrAllocation(c)
      const unknown = allocation.unknownBanks.find((b) => b.pcrs.length > 0)
      if (unknown !== undefined) {
        // A bank that cannot be extended could be forged: better to say so than to leave it alone.
        const id = `0x${unknown.algId.toString(16).padStart(4, '0')}`
        throw new TpmError(
          'TPM_REFUSED',
          `PCR bank ${id} is allocated and unknown here; disable it with tpm2_pcrallocate`,
        )
      }
      const banks: HashAlgorithm[] = allocation.selections.filter((s) => s.pcrs.length > 0).map((s) => s.bank)
      return {
        manufacturer: manufacturerText(manufacturer ?? 0),
        firmwareVersion: (BigInt(high ?? 0) << 32n) | BigInt(low ?? 0),
        banks,
      }
    })
  }

  /** Works on a TPM that was restarted, too: everything else then is TPM_RESTARTED until it is opened anew. */
  readClock(): Promise<ClockReading> {
    return translate(async () => {
      const clock = await readClockOf(this.#connection)
      if (!isSameStart(clock, this.#start)) this.#restarted = true
      return clock
    })
  }

  readPcrs(selection: readonly PcrSelection[]): Promise<readonly PcrValue[]> {
    return this.#onSameStart(async () => {
      const session = this.#protectAll ? await this.#connection.auditing() : undefined
      return await readPcrs(this.#connection, selection, session)
    })
  }

  extend(pcr: PcrIndex, digests: readonly Digest[]): Promise<void> {
    return this.#onSameStart(async () => extendPcr(this.#connection, pcr, digests, await this.#publicAuth()))
  }

  provisionIdentity(): Promise<TpmIdentity> {
    return this.#onSameStart(async () => {
      const { ek, ak } = await this.#provisioned()
      const identity = { ekPublic: ek.public, ekChain: ek.chain, akPublic: ak.public }
      return ek.certificate === undefined ? identity : { ...identity, ekCertificate: ek.certificate }
    })
  }

  activateCredential(idObject: Uint8Array, encryptedSecret: Uint8Array): Promise<Uint8Array> {
    return this.#onSameStart(async () => {
      const c = this.#connection
      const { ek, akLease } = await this.#provisioned()
      const session = await c.session()
      return await withEndorsementKey(c, ek, (tr, auth) =>
        activateCredential(
          c,
          { tr: akLease.tr, auth: session },
          // One session authorizes once in a command; the EK's own authorization value is empty where a password will do.
          { tr, auth: auth.tr === session.tr ? ESYS_TR_PASSWORD : auth },
          idObject,
          encryptedSecret,
        ),
      )
    })
  }

  quote(extraData: Uint8Array, selection: readonly PcrSelection[]): Promise<QuoteBytes> {
    return this.#onSameStart(async () => {
      const { akLease } = await this.#provisioned()
      const quoted = await quote(this.#connection, akLease.tr, extraData, selection, await this.#publicAuth())
      if (!isSameStart(decodeQuoteAttest(quoted.attest).clockInfo, this.#start)) throw this.#noticeRestart()
      return quoted
    })
  }

  /**
   * Flushes and disconnects. TPM2_Shutdown is sent only where TPM2_Startup was ours: elsewhere the firmware and the kernel
   * see to both, and an agent that stops is no power-off.
   */
  close(): Promise<void> {
    return translate(async () => {
      try {
        if (this.#startedByUs && !this.#restarted) await shutdown(this.#connection)
      } finally {
        await this.#connection.close()
      }
    })
  }

  /**
   * Authorization for commands that carry no secret. Their outcome is proved to the verifier by the quote's signature, so by default
   * they go without the session, which would cost them milliseconds.
   */
  async #publicAuth(): Promise<SessionUse | EsysTr> {
    return this.#protectAll ? await this.#connection.session() : ESYS_TR_PASSWORD
  }

  /**
   * Nothing is done on a TPM whose registers are not those of the start that was found at open(). The look at the counters is
   * not bound to the command that follows; a quote's own counters are, and they are compared as well.
   */
  #onSameStart<T>(work: () => Promise<T>): Promise<T> {
    return translate(async () => {
      const now = performance.now()
      if (!this.#restarted && now - this.#clockCheckedAt > CLOCK_CHECK_MS) {
        this.#restarted = !isSameStart(await readClockOf(this.#connection), this.#start)
      }
      if (this.#restarted) throw this.#noticeRestart()
      this.#clockCheckedAt = now
      return await work()
    })
  }

  #noticeRestart(): TpmError {
    this.#restarted = true
    return new TpmError(
      'TPM_RESTARTED',
      'the TPM was reset or restarted: its registers are new, sessions and keys are gone',
    )
  }

  #endorsementKey(): Promise<EndorsementKey> {
    this.#ek ??= forgetOnFailure(findEndorsementKey(this.#connection), () => {
      this.#ek = undefined
    })
    return this.#ek
  }

  #provisioned(): Promise<Identity> {
    this.#identity ??= forgetOnFailure(this.#provision(), () => {
      this.#identity = undefined
    })
    return this.#identity
  }

  async #provision(): Promise<Identity> {
    const ek = await this.#endorsementKey()
    const ak = await provisionAttestationKey(this.#connection, ek)
    return { ek, ak, akLease: await this.#connection.handles.lease(ak.handle) }
  }
}

async function readClockOf(c: TpmConnection): Promise<ClockReading> {
  const { clockInfo } = await readClock(c)
  const { clockMs, resetCount, restartCount, safe } = clockInfo
  return { clockMs, resetCount, restartCount, safe }
}

type Counters = Pick<ClockReading, 'resetCount' | 'restartCount'>

/** Whether two readings are from the same life of the TPM: neither reset nor restarted (resumed) in between. */
function isSameStart(a: Counters, b: Counters): boolean {
  return a.resetCount === b.resetCount && a.restartCount === b.restartCount
}

function forgetOnFailure<T>(work: Promise<T>, forget: () => void): Promise<T> {
  work.catch(forget) // whoever asked gets the error; the next one tries again
  return work
}

/** @returns whether it was us who started the TPM */
async function startIfNeeded(c: TpmConnection): Promise<boolean> {
  try {
    await readClock(c)
    return false
  } catch (err) {
    if (!(err instanceof TssError) || err.code !== 'TSS_NOT_STARTED') throw err
    await startup(c)
    return true
  }
}

function manufacturerText(value: number): string {
  let text = ''
  for (let shift = 24; shift >= 0; shift -= 8) {
    const code = (value >>> shift) & 0xff
    text += code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : ' '
  }
  return text
}
