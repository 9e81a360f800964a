import { type Brand, toHex } from '../base/index.ts'
import {
  bytesText,
  digest,
  digestText,
  type HashAlgorithm,
  type SignatureHash,
  verifySignature,
  verifySignatureInPool,
} from '../crypto/index.ts'
import { type ClaimedQuote, decodeQuoteAttest } from './attest.ts'
import { AttestError, type QuoteErrorCode } from './attest-errors.ts'
import { MAX_DIGEST_BYTES, MAX_PCR_BANKS } from './constants.ts'
import type { PcrIndex, PcrSelection, PcrValue } from './pcr.ts'
import { orderPcrValues, type ValueMisfit } from './pcr-digest.ts'
import { formatPcrSelections } from './pcr-selection.ts'
import { checkAttest, type ProvenHeader, provenHeader, requireValid, type SignedAttest } from './signed-attest.ts'

/** A quote with what was asked for. */
export interface QuoteInput extends SignedAttest {
  /** The selection that the verifier asked for: banks in order, registers ascending. */
  readonly selection: readonly PcrSelection[]
  /** The registers that appraisal is going to read; all of them must be quoted, and none may be resettable. */
  readonly required: readonly PcrSelection[]
  /** Values as the node sent them: exactly those of the quoted registers, in any order. */
  readonly claimedValues: readonly PcrValue[]
}

/** What is odd about a quote that is nevertheless proven; appraisal weighs it. */
export type QuoteFinding =
  /**
   * Every quoted register among 0 to 7 of an allocated bank is zero: firmware never used the bank, so anybody may fill
   * it.
   */
  | { readonly code: 'QUOTE_BANK_UNUSED'; readonly bank: HashAlgorithm }
  /** A SHA-1 bank was quoted beside a better one. */
  | { readonly code: 'QUOTE_BANK_SHA1' }
  /** The TPM's clock may have gone back: do not order by it. */
  | { readonly code: 'QUOTE_CLOCK_UNSAFE' }

/** A quote by a known key, over the asked registers, in answer to the asked challenge. Only verifyQuote() makes one. */
export type VerifiedQuote = Brand<
  ProvenHeader & {
    /** Proven values: selections in order, registers ascending. */
    readonly pcrs: readonly PcrValue[]
    readonly findings: readonly QuoteFinding[]
  },
  'VerifiedQuote'
>

/**
 * Checks a quote: that a TPM made it, that this key signed it, that it answers this challenge, and that these are the
 * values of exactly the registers asked for. Cheap checks first, then the signature, then the values.
 *
 * It says nothing of the counters' history, of the logs, or of what the values mean; nor where the AK lives: that took
 * enrolment.
 *
 * @throws AttestError with a QuoteErrorCode
 */
export function verifyQuote(input: QuoteInput): VerifiedQuote {
  const checked = checkQuote(input)
  requireValid(verifySignature(input.ak.key, checked.signature, input.attest), input.ak)
  return proven(input, checked)
}

/**
 * verifyQuote() with the signature checked in libuv's pool: for a verifier that has many nodes on one event loop.
 *
 * @returns rejects with the AttestError that verifyQuote() would throw
 */
export async function verifyQuoteInPool(input: QuoteInput): Promise<VerifiedQuote> {
  const checked = checkQuote(input)
  requireValid(await verifySignatureInPool(input.ak.key, checked.signature, input.attest), input.ak)
  return proven(input, checked)
}

/** @returns the proven value of a register; undefined for one that was not quoted. Total. */
export function provenPcr(quote: VerifiedQuote, bank: HashAlgorithm, pcr: PcrIndex): Uint8Array | undefined {
  return quote.pcrs.find((v) => v.bank === bank && v.pcr === pcr)?.value
}

interface CheckedQuote {
  readonly claimed: ClaimedQuote
  readonly signature: Parameters<typeof verifySignature>[1]
  readonly ordered: readonly PcrValue[]
}

function checkQuote(input: QuoteInput): CheckedQuote {
  const { claimed, signature } = checkAttest(input, decodeQuoteAttest)
  checkSelection(claimed.pcrSelections, input.selection)
  checkRequired(claimed.pcrSelections, input.required)
  return { claimed, signature, ordered: orderClaimed(claimed.pcrSelections, input.claimedValues) }
}

/** Rules 7 and 11: the signed selection is the one asked for, and something better than SHA-1 is in it. */
function checkSelection(got: readonly PcrSelection[], asked: readonly PcrSelection[]): void {
  if (got.length === 0) throw refuseSelection('QUOTE_SELECTION_EMPTY', got, asked)
  for (const { bank, pcrs } of got) {
    if (pcrs.length > 0) continue
    throw refuseSelection('QUOTE_SELECTION_EMPTY', got, asked, `: no register of ${bank}, is it allocated?`)
  }
  if (got.length !== asked.length) throw refuseSelection('QUOTE_SELECTION_COUNT', got, asked)
  if (got.some((g) => !asked.some((a) => a.bank === g.bank))) throw refuseSelection('QUOTE_SELECTION_BANK', got, asked)
  for (const [i, g] of got.entries()) {
    const a = asked[i]
    if (a?.bank !== g.bank) throw refuseSelection('QUOTE_SELECTION_ORDER', got, asked)
    if (a.pcrs.length !== g.pcrs.length || a.pcrs.some((pcr, j) => pcr !== g.pcrs[j])) {
      throw refuseSelection('QUOTE_SELECTION_BITMAP', got, asked)
    }
  }
  if (got.every((g) => g.bank === 'sha1'))
    throw refuseSelection('QUOTE_BANK_WEAK', got, asked, ': a SHA-256 bank or better is needed')
}

/** Not a closure of checkSelection(): one with a name is given it at every call, which costs more than the checks. */
function refuseSelection(
  code: QuoteErrorCode,
  got: readonly PcrSelection[],
  asked: readonly PcrSelection[],
  why = '',
): AttestError {
  return refuse(code, `quoted ${formatPcrSelections(got)}, asked for ${formatPcrSelections(asked)}${why}`)
}

/** Rules 9, 11 and 12: what the policy reads is quoted, is no SHA-1 register, and cannot be reset at run time. */
function checkRequired(got: readonly PcrSelection[], required: readonly PcrSelection[]): void {
  for (const { bank, pcrs } of required) {
    if (bank === 'sha1' && pcrs.length > 0)
      throw refuse('QUOTE_BANK_WEAK', 'the policy reads registers of the SHA-1 bank')
    const quoted = got.find((s) => s.bank === bank)?.pcrs
    for (const pcr of pcrs) {
      if (pcr === 16 || pcr === 23) throw refuse('QUOTE_PCR_RESETTABLE', `the policy reads ${bank}:${pcr}`)
      if (pcr >= 17 && pcr <= 22) throw refuse('QUOTE_PCR_DRTM', `the policy reads ${bank}:${pcr}`)
      if (quoted?.includes(pcr) !== true) {
        throw refuse('QUOTE_PCR_NOT_SELECTED', `the policy reads ${bank}:${pcr}, quoted is ${formatPcrSelections(got)}`)
      }
    }
  }
}

const MISFIT_CODES: Readonly<Record<ValueMisfit['kind'], QuoteErrorCode>> = {
  missing: 'QUOTE_PCR_VALUE_MISSING',
  duplicate: 'QUOTE_PCR_VALUE_DUPLICATE',
  unselected: 'QUOTE_PCR_VALUE_UNSELECTED',
  size: 'QUOTE_PCR_VALUE_SIZE',
}

function orderClaimed(selections: readonly PcrSelection[], values: readonly PcrValue[]): readonly PcrValue[] {
  const result = orderPcrValues(selections, values)
  if ('misfit' in result) throw refuse(MISFIT_CODES[result.misfit.kind], result.misfit.detail)
  // Copied: what is proven must not change with the buffer it came in.
  return result.ordered.map(({ bank, pcr, value }) => ({ bank, pcr, value: new Uint8Array(value) }))
}

/**
 * Rules 8 and 10, after the signature: the values are claims until their hash, by the signing scheme's hash, is the
 * signed one.
 */
function proven(input: QuoteInput, { claimed, ordered }: CheckedQuote): VerifiedQuote {
  const hash: SignatureHash = input.ak.scheme.hash
  const octets = concatenated(ordered)
  if (digestText(hash, octets) !== bytesText(claimed.pcrDigest)) {
    const texts = `the values hash to ${toHex(digest(hash, octets))} (${hash}), signed is ${toHex(claimed.pcrDigest)}`
    throw refuse('QUOTE_PCR_DIGEST_MISMATCH', `${texts}: read values and quote again, in one go`)
  }
  const quote = Object.assign(provenHeader(claimed, input.ak), {
    pcrs: ordered,
    findings: findingsOf(claimed, ordered),
  })
  return quote as VerifiedQuote // everything above is this brand's constructor
}

/**
 * Room for every register of every bank, used again for each quote: making it costs more than hashing what is in it.
 */
const scratch = new Uint8Array(MAX_PCR_BANKS * 24 * MAX_DIGEST_BYTES)

/** The values one after another, until the next call. */
function concatenated(values: readonly PcrValue[]): Uint8Array {
  let at = 0
  for (const { value } of values) {
    scratch.set(value, at)
    at += value.length
  }
  return scratch.subarray(0, at)
}

function findingsOf(claimed: ClaimedQuote, pcrs: readonly PcrValue[]): readonly QuoteFinding[] {
  const findings: QuoteFinding[] = []
  for (const { bank } of claimed.pcrSelections) {
    if (isUnused(bank, pcrs)) findings.push({ code: 'QUOTE_BANK_UNUSED', bank })
  }
  if (claimed.pcrSelections.some((s) => s.bank === 'sha1')) findings.push({ code: 'QUOTE_BANK_SHA1' })
  if (!claimed.clockInfo.safe) findings.push({ code: 'QUOTE_CLOCK_UNSAFE' })
  return findings
}

/** Whether registers of the firmware were quoted and all of them are zero. */
function isUnused(bank: HashAlgorithm, pcrs: readonly PcrValue[]): boolean {
  let quoted = false
  for (const v of pcrs) {
    if (v.bank !== bank || v.pcr > 7) continue
    quoted = true
    if (v.value.some((b) => b !== 0)) return false
  }
  return quoted
}

function refuse(code: QuoteErrorCode, message: string): AttestError {
  return new AttestError(code, message)
}
