import { CodedError, codeOf, equalBytes } from '../attestation/base/index.ts'
import { digest, type HashAlgorithm, hashSize } from '../attestation/crypto/index.ts'
import { decodeCelRecord } from '../attestation/event-log/index.ts'
import {
  collectionBinding,
  encodeMessage,
  MAX_LOG_BYTES,
  MAX_MACHINE_LOG_BYTES,
  MAX_SESSION_LOG_BYTES,
  pcrValuesToWire,
  type QuotedBody,
  quoteBinding,
  quotePurpose,
  type WantedMachineLogs,
} from '../attestation/protocol/index.ts'
import { decodeQuoteAttest, type PcrIndex, type PcrSelection, type PcrValue } from '../attestation/tpm2/index.ts'
import type { LogWriter, TpmStart } from './launch-log/index.ts'
import type { MachineLogReader } from './machine-logs/index.ts'
import type { QuoteBytes, Tpm } from './ports.ts'

/** Other software may extend other registers between the read and the quote (IMA does); so often it is tried again. */
const MAX_QUOTES = 4

/**
 * ATTEST_REGISTER_MOVED: the quote shows another register than the log replays to: something else extended it.
 * ATTEST_PCRS_UNSTEADY: registers in the selection changed between reading and quoting, again and again.
 * ATTEST_TPM_RESTARTED: the quote is of another TPM start than the log.
 * ATTEST_BANK_MISSING: the verifier asks for a PCR bank that this TPM has not allocated.
 */
export type AttestErrorCode =
  | 'ATTEST_REGISTER_MOVED'
  | 'ATTEST_PCRS_UNSTEADY'
  | 'ATTEST_TPM_RESTARTED'
  | 'ATTEST_BANK_MISSING'
export class AttestError extends CodedError<AttestErrorCode> {}

/** What a quote is made for: one verifier, one connection, one nonce. */
export interface QuoteChallenge {
  readonly verifierId: Uint8Array
  readonly exporter: Uint8Array
  readonly nonce: Uint8Array
  readonly selection: readonly PcrSelection[]
}

/** The kernel extends it with every file that IMA measures: the only register of the machine that is read anew for every quote. */
const IMA_PCR = 10

/** How much of the logs the verifier has, by its own word. */
export interface KnownLog extends TpmStart {
  readonly offset: number
  readonly machineLogs: WantedMachineLogs
}

export type QuotedSubject =
  | { readonly t: 'evidence'; readonly purpose: 'session' | 'periodic' }
  | { readonly t: 'launch'; readonly id: number; readonly request: Uint8Array }

/** A frame to send. `more`: a log goes on behind the piece in it, so another round is needed. */
export interface QuotedFrame {
  readonly frame: Uint8Array
  readonly more: boolean
}

/** Makes evidence: log and registers go into the body, whose digest goes into the quote. */
export class Attester {
  readonly #tpm: Pick<Tpm, 'quote' | 'readPcrs'>
  readonly #pcr: PcrIndex
  readonly #machineLogs: MachineLogReader
  /** Registers as last read. Those of the boot do not change, so a launch need not read them; the quote tells when one did. */
  readonly #lastRead = new Map<string, Uint8Array>()

  constructor(tpm: Pick<Tpm, 'quote' | 'readPcrs'>, pcr: PcrIndex, machineLogs: MachineLogReader) {
    this.#tpm = tpm
    this.#pcr = pcr
    this.#machineLogs = machineLogs
  }

  /**
   * @param log held by the caller, so that nothing is extended between the body and the quote
   * @returns the `quoted` message, ready to be sent
   * @throws AttestError, the TPM's own errors, LaunchLogError
   */
  async quoted(
    log: LogWriter,
    subject: QuotedSubject,
    challenge: QuoteChallenge,
    known: KnownLog,
  ): Promise<QuotedFrame> {
    try {
      return await this.#quoted(log, subject, challenge, known)
    } catch (err) {
      if (codeOf(err) === 'TPM_RESTARTED') log.distrust() // the log is of a TPM start that is over
      throw err
    }
  }

  async #quoted(
    log: LogWriter,
    subject: QuotedSubject,
    challenge: QuoteChallenge,
    known: KnownLog,
  ): Promise<QuotedFrame> {
    // a verifier takes little of somebody who has not proved yet who it is
    const login = subject.t === 'evidence' && subject.purpose === 'session'
    const piece = await logPiece(log, known, login ? MAX_SESSION_LOG_BYTES : MAX_LOG_BYTES)
    const machineLogBytes = login ? MAX_SESSION_LOG_BYTES - piece.bytes.length : MAX_MACHINE_LOG_BYTES
    const { verifierId, nonce, exporter, selection } = challenge
    const { quote, bound: body } = await this.#quote(log, selection, (pcrs) => {
      const message: QuotedBody = { ...subject, nonce, pcrs: pcrValuesToWire(pcrs), log: piece }
      const body = encodeMessage(message)
      return { bound: body, extraData: quoteBinding(quotePurpose(message), verifierId, nonce, exporter, body) }
    })
    // after the quote: a log that runs ahead of it can be judged, one that lags behind cannot
    const machineLogs = await this.#machineLogs(wantedNow(log, known), machineLogBytes)
    return {
      frame: encodeMessage({ t: 'quoted', body, ...quote, machineLogs }),
      more: piece.more || machineLogs.some((p) => p.more),
    }
  }

  /**
   * A quote for a file: bound to a nonce and to no connection, under a label of its own, so that no verifier takes it for a login.
   *
   * @param log held by the caller
   */
  async collected(
    log: LogWriter,
    nonce: Uint8Array,
    selection: readonly PcrSelection[],
  ): Promise<QuoteBytes & { readonly pcrs: readonly PcrValue[] }> {
    const extraData = collectionBinding(nonce)
    const { quote, bound: pcrs } = await this.#quote(log, selection, (pcrs) => ({ bound: pcrs, extraData }))
    return { ...quote, pcrs }
  }

  /** Quotes until the quote covers the values that were read before it. `bind` says what goes into extraData with them. */
  async #quote<T>(
    log: LogWriter,
    selection: readonly PcrSelection[],
    bind: (pcrs: readonly PcrValue[]) => { readonly bound: T; readonly extraData: Uint8Array },
  ): Promise<{ readonly quote: QuoteBytes; readonly bound: T }> {
    for (let attempt = 0; attempt < MAX_QUOTES; attempt++) {
      const pcrs = await this.#values(log, selection)
      const { bound, extraData } = bind(pcrs)
      const quote = await this.#tpm.quote(extraData, selection)
      if (this.#agrees(log, quote, pcrs)) return { quote, bound }
      this.#lastRead.clear()
      await this.#checkOwnRegister(log)
    }
    throw new AttestError(
      'ATTEST_PCRS_UNSTEADY',
      `registers that the verifier asks for changed ${MAX_QUOTES} times between being read and being quoted`,
    )
  }

  /** Whether the quote covers the values in the body. */
  #agrees(log: LogWriter, quote: QuoteBytes, pcrs: readonly PcrValue[]): boolean {
    const { clockInfo, pcrDigest } = decodeQuoteAttest(quote.attest)
    const { resetCount, restartCount } = log.start
    if (clockInfo.resetCount !== resetCount || clockInfo.restartCount !== restartCount) {
      log.distrust()
      throw new AttestError(
        'ATTEST_TPM_RESTARTED',
        `the TPM was started anew: resetCount ${clockInfo.resetCount}, restartCount ${clockInfo.restartCount}; the log is of ` +
          `${resetCount}, ${restartCount}`,
      )
    }
    const alg = (['sha256', 'sha384', 'sha512', 'sha1'] as const).find((a) => hashSize(a) === pcrDigest.length)
    return alg !== undefined && equalBytes(digest(alg, ...pcrs.map((p) => p.value)), pcrDigest)
  }

  async #values(log: LogWriter, selection: readonly PcrSelection[]): Promise<PcrValue[]> {
    const own = log.registers
    const missing: PcrSelection[] = []
    for (const { bank, pcrs } of selection) {
      const unread = pcrs.filter(
        (pcr) => pcr !== this.#pcr && (pcr === IMA_PCR || !this.#lastRead.has(keyOf(bank, pcr))),
      )
      if (unread.length > 0) missing.push({ bank, pcrs: unread })
    }
    if (missing.length > 0) {
      for (const { bank, pcr, value } of await this.#tpm.readPcrs(missing)) {
        this.#lastRead.set(keyOf(bank, pcr), value)
      }
    }
    return selection.flatMap(({ bank, pcrs }) =>
      pcrs.map((pcr) => {
        const value = pcr === this.#pcr ? own[bank] : this.#lastRead.get(keyOf(bank, pcr))
        if (value === undefined) {
          throw new AttestError(
            'ATTEST_BANK_MISSING',
            `the verifier asks for PCR ${pcr} of bank ${bank}, which is not allocated here`,
          )
        }
        return { bank, pcr, value }
      }),
    )
  }

  async #checkOwnRegister(log: LogWriter): Promise<void> {
    try {
      await log.checkRegister()
    } catch (cause) {
      log.distrust()
      throw new AttestError('ATTEST_REGISTER_MOVED', `PCR ${this.#pcr} is not what the log gives`, { cause })
    }
  }
}

/** Offsets are of the TPM start that the verifier knows: the logs of another one it has to see from the beginning. */
function wantedNow({ start }: LogWriter, known: KnownLog): WantedMachineLogs {
  const same = known.resetCount === start.resetCount && known.restartCount === start.restartCount
  return same ? known.machineLogs : known.machineLogs.map(({ source }) => ({ source, offset: 0 }))
}

/** The part of the log that the verifier lacks, at most `maxBytes` of it, cut between records. */
async function logPiece(log: LogWriter, known: KnownLog, maxBytes: number): Promise<QuotedBody['log']> {
  const { resetCount, restartCount } = log.start
  const same = known.resetCount === resetCount && known.restartCount === restartCount
  // A verifier that has more than there is gets all of it: it is the one to say what that means.
  const offset = same && known.offset <= log.size ? known.offset : 0
  const bytes = plain(await log.read(offset, Math.min(log.size - offset, maxBytes)))
  const more = offset + bytes.length < log.size
  return { resetCount, restartCount, offset, bytes: more ? wholeRecords(bytes) : bytes, more }
}

function wholeRecords(bytes: Uint8Array): Uint8Array {
  let end = 0
  while (end < bytes.length) {
    try {
      end = decodeCelRecord(bytes, end).end
    } catch {
      break // cut here by maxBytes: every record of the log has been read before
    }
  }
  return bytes.subarray(0, end)
}

/** Without the Buffer prototype: it is encoded, and Buffers are not Uint8Arrays to every encoder. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function keyOf(bank: HashAlgorithm, pcr: PcrIndex): string {
  return `${bank}:${pcr}`
}
