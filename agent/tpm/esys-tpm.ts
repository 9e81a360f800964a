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
  extendPcr,
  getPcrAllocation,
  getTpmProperty,
  isStarted,
  type Lease,
  quote,
  readClock,
  readPcrs,
  type SaltKey,
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
}

/** After this long without a look at the counters the next command waits for one. */
const CLOCK_CHECK_MS = 10

/** Where the connection, which is made first, finds the key for its sessions. */
interface Salt {
  key?: () => Promise<SaltKey>
}

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
  /** Counters of the first look, which is in the session: what an unprotected answer says is not believed. */
  #start: Counters | undefined
  /** The latest reading. Within one start the clock goes forward; TPM2_Clear sets it back, and where the counters were at zero nothing else tells. */
  #clockMs = 0n
  #restarted = false
  #lookedAt = Number.NEGATIVE_INFINITY
  #ek: Promise<EndorsementKey> | undefined
  #identity: Promise<Identity> | undefined

  private constructor(connection: TpmConnection, startedByUs: boolean, salt: Salt) {
    this.#connection = connection
    this.#startedByUs = startedByUs
    salt.key = async () => loadEndorsementKey(connection, await this.#endorsementKey())
  }

  /**
   * Connects, starts a TPM that nobody has started (a simulator), and flushes what an earlier process left behind.
   *
   * @throws TpmError TPM_LIBRARY_MISSING, TPM_GONE and others
   */
  static async open(options: EsysTpmOptions): Promise<EsysTpm> {
    const salt: Salt = {}
    const saltKey = () => salt.key?.() ?? Promise.reject(new Error('the TPM is not open yet'))
    const connection = await translate(() => TpmConnection.open({ ...options, saltKey }))
    try {
      return await translate(async () => {
        const startedByUs = await startIfNeeded(connection)
        await sweepLeakedHandles(connection)
        return new EsysTpm(connection, startedByUs, salt)
      })
    } catch (err) {
      await connection.close()
      throw err
    }
  }

  describe(): Promise<TpmDescription> {
    return this.#onSameStart(async () => {
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
    return translate(() => this.#look())
  }

  readPcrs(selection: readonly PcrSelection[]): Promise<readonly PcrValue[]> {
    return this.#onSameStart(() => readPcrs(this.#connection, selection))
  }

  extend(pcr: PcrIndex, digests: readonly Digest[]): Promise<void> {
    return this.#onSameStart(() => extendPcr(this.#connection, pcr, digests))
  }

  provisionIdentity(): Promise<TpmIdentity> {
    return this.#onSameStart(async () => {
      const { ek, ak } = await this.#provisioned()
      return {
        ekPublic: ek.public,
        ekChain: ek.chain,
        akPublic: ak.public,
        ...(ek.certificate !== undefined && { ekCertificate: ek.certificate }),
        ...(ek.platformCertificate !== undefined && { platformCertificate: ek.platformCertificate }),
      }
    })
  }

  activateCredential(idObject: Uint8Array, encryptedSecret: Uint8Array): Promise<Uint8Array> {
    return this.#onSameStart(async () => {
      const c = this.#connection
      const { ek, akLease } = await this.#provisioned()
      const session = await c.session()
      try {
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
      } finally {
        await c.endSession()
      }
    })
  }

  quote(extraData: Uint8Array, selection: readonly PcrSelection[]): Promise<QuoteBytes> {
    return this.#onSameStart(async () => {
      const { ak, akLease } = await this.#provisioned()
      const key = { tr: akLease.tr, public: ak.public }
      const quoted = await quote(this.#connection, key, extraData, selection)
      if (!this.#isThisStart(decodeQuoteAttest(quoted.attest).clockInfo)) throw this.#noticeRestart()
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
   * Nothing is done on a TPM whose registers are not those of the start that was found first. A session does not outlive that, unless
   * a resource manager has saved it; so the counters are looked at as well. Where only the session is lost, because somebody
   * flushed it, the work is done again: the TPM has refused it before it began.
   */
  #onSameStart<T>(work: () => Promise<T>): Promise<T> {
    return translate(async () => {
      if (performance.now() - this.#lookedAt > CLOCK_CHECK_MS) await this.#look()
      try {
        this.#refuseRestarted()
        return await work()
      } catch (err) {
        if (!isSessionLost(err)) throw err
        await this.#look()
        this.#refuseRestarted()
        return await work()
      }
    })
  }

  /** Looks at the counters, in the session, or in a new one where the TPM does not know it any more. */
  async #look(): Promise<ClockReading> {
    const clock = await readClockOf(this.#connection).catch((err: unknown) => {
      if (!isSessionLost(err)) throw err
      return readClockOf(this.#connection)
    })
    if (!this.#isThisStart(clock)) this.#restarted = true
    this.#lookedAt = performance.now()
    return clock
  }

  #isThisStart(clock: Counters & Pick<ClockReading, 'clockMs'>): boolean {
    this.#start ??= clock
    const goesOn = clock.clockMs >= this.#clockMs
    this.#clockMs = clock.clockMs
    return goesOn && isSameStart(clock, this.#start)
  }

  #refuseRestarted(): void {
    if (this.#restarted) throw this.#noticeRestart()
  }

  #noticeRestart(): TpmError {
    this.#restarted = true
    return new TpmError(
      'TPM_RESTARTED',
      'the TPM was reset, restarted or cleared: sessions and keys are gone, and its registers may be new',
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
    try {
      const ak = await provisionAttestationKey(this.#connection, ek)
      return { ek, ak, akLease: await this.#connection.handles.lease(ak.handle) }
    } finally {
      await this.#connection.endSession()
    }
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

function isSessionLost(err: unknown): boolean {
  return err instanceof TssError && err.code === 'TSS_SESSION_LOST'
}

function forgetOnFailure<T>(work: Promise<T>, forget: () => void): Promise<T> {
  work.catch(forget) // whoever asked gets the error; the next one tries again
  return work
}

/** @returns whether it was us who started the TPM */
async function startIfNeeded(c: TpmConnection): Promise<boolean> {
  if (await isStarted(c)) return false
  await startup(c)
  return true
}

function manufacturerText(value: number): string {
  let text = ''
  for (let shift = 24; shift >= 0; shift -= 8) {
    const code = (value >>> shift) & 0xff
    text += code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : ' '
  }
  return text
}
