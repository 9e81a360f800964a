import { bytesText, type ExtendChain, extendChain, type HashAlgorithm, hashSize } from '../crypto/index.ts'
import type { EventDigests } from './event.ts'
import { BANK_ORDER, type BankRegisters, banksOf } from './registers.ts'

/**
 * Localities from which TPM2_Startup may come: 0 and 3 by the platform's firmware, 4 where a hardware core root of
 * trust (H-CRTM) measured first.
 */
export const STARTUP_LOCALITIES = [0, 3, 4] as const
export type StartupLocality = (typeof STARTUP_LOCALITIES)[number]

/** Registers of dynamic launch: all ones until one takes place, zero when it begins. */
const DYNAMIC_PCRS = { first: 17, last: 22 } as const

/**
 * What a TPM start leaves in a PCR: zero; all ones in 17 to 22; in PCR 0 the locality of TPM2_Startup.
 * Source: PC Client Platform TPM Profile r1.05 §4.6.2 (reset values), TPM 2.0 Part 3 r1.59 §9.3 (TPM2_Startup).
 */
export function pcrAfterStart(
  pcr: number,
  banks: readonly HashAlgorithm[],
  locality: StartupLocality = 0,
): BankRegisters {
  const fill = fillAfterStart(pcr)
  const out: { [bank in HashAlgorithm]?: Uint8Array } = {}
  for (const bank of banks) {
    const value = new Uint8Array(hashSize(bank)).fill(fill)
    if (pcr === 0) value[value.length - 1] = locality
    out[bank] = value
  }
  return out
}

/** True for a PCR that is as `pcrAfterStart` says in every bank that it has. */
export function isAfterStart(pcr: number, values: BankRegisters, locality: StartupLocality = 0): boolean {
  const fill = fillAfterStart(pcr)
  for (const bank of BANK_ORDER) {
    const value = values[bank]
    if (value === undefined) continue
    const last = value.length - 1
    for (let i = 0; i < last; i++) if (value[i] !== fill) return false
    if (value[last] !== (pcr === 0 ? locality : fill)) return false
  }
  return true
}

function fillAfterStart(pcr: number): number {
  return pcr >= DYNAMIC_PCRS.first && pcr <= DYNAMIC_PCRS.last ? 0xff : 0
}

/** One bank of a replayed register. */
export interface BankReplay {
  readonly bank: HashAlgorithm
  /** Length of the longest prefix that gives the quoted value; undefined where none does. */
  readonly proven: number | undefined
  /** Position of the first event that has no digest of this bank; what follows it cannot be replayed in it. */
  readonly missing: number | undefined
  /** The value after all events, or after those before `missing`. */
  readonly end: Uint8Array
}

/** What a replay shows of one register. */
export interface RegisterReplay {
  readonly events: number
  /**
   * Events that the quote proves, in every bank; undefined where no prefix gives the quoted values, or not the same one
   * in all banks.
   */
  readonly proven: number | undefined
  readonly banks: readonly BankReplay[]
}

/**
 * Replays one register from all logs that extend it. A log may be ahead of the quote: the longest prefix that gives the
 * quoted value of every bank is proved. A chain of hashes never comes back to a value, so there is one such prefix at
 * most.
 *
 * @param start in every bank of `quoted`
 * @param events digests of the events that are extended, in order; read once and not kept
 * @param quoted the register in every bank that is to be replayed; of a verified quote
 * @throws RangeError where `start` lacks a bank
 */
export function replayRegister(
  start: BankRegisters,
  events: Iterable<EventDigests>,
  quoted: BankRegisters,
): RegisterReplay {
  const banks = banksOf(quoted).map((bank) => startBank(bank, start[bank], quoted[bank]))
  let count = 0
  for (const digests of events) {
    count++
    for (const bank of banks) stepBank(bank, digests, count)
  }
  const ends = banks.map(({ bank, proven, missing, chain }) => ({ bank, proven, missing, end: chain.value() }))
  const first = ends[0]?.proven
  return { events: count, proven: ends.every((bank) => bank.proven === first) ? first : undefined, banks: ends }
}

interface BankRun {
  readonly bank: HashAlgorithm
  readonly chain: ExtendChain
  readonly wanted: string
  proven: number | undefined
  missing: number | undefined
}

function startBank(bank: HashAlgorithm, start: Uint8Array | undefined, quoted: Uint8Array | undefined): BankRun {
  if (start === undefined || quoted === undefined)
    throw new RangeError(`the replay has no ${bank} register to start from`)
  const wanted = bytesText(quoted)
  const proven = bytesText(start) === wanted ? 0 : undefined
  return { bank, chain: extendChain(bank, start), wanted, proven, missing: undefined }
}

function stepBank(run: BankRun, digests: EventDigests, count: number): void {
  if (run.missing !== undefined) return
  const digest = digests[run.bank]
  if (digest === undefined || digest.length !== hashSize(run.bank)) {
    run.missing = count - 1
    return
  }
  if (run.chain.extend(digest) === run.wanted) run.proven = count
}
