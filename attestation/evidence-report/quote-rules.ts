import { type Finding, finding } from '../appraisal/index.ts'
import { CodedError, equalBytes, toHex } from '../base/index.ts'
import type { EvidenceFile } from '../evidence-file/index.ts'
import { collectionBinding, ProtocolError, pcrValuesFromWire } from '../protocol/index.ts'
import {
  AkError,
  AttestError,
  type ClaimedQuote,
  decodeQuoteAttest,
  formatPcrSelections,
  objectName,
  type PcrValue,
  type QualifiedParent,
  qualifiedName,
  TPM_RH_ENDORSEMENT,
  type VerifiedAk,
  type VerifiedQuote,
  verifyAkPublic,
  verifyQuote,
  WireError,
} from '../tpm2/index.ts'

/** Whether a quote is what it should be, rule by rule. `quote` is there only where every rule holds. */
export interface JudgedQuote {
  readonly findings: readonly Finding[]
  /** What is odd about a quote that is one all the same, for a policy to weigh. */
  readonly oddities: readonly Finding[]
  readonly quote?: VerifiedQuote
  /** Why there is none: the first rule that does not hold, for whoever wants no list. */
  readonly refusal?: CodedError
  /** `nonce`: extraData is the nonce itself, as other tools ask for; `binding`: it is Holdfast's digest of it. */
  readonly challenge?: 'nonce' | 'binding'
}

/** Rules in the order in which they are looked at: what each says when it holds, and the codes that say that it does not. */
const RULES: readonly { readonly rule: string; readonly holds: string; readonly codes: RegExp }[] = [
  {
    rule: 'quote.form',
    holds: 'a TPM made this structure, and it is a quote',
    codes: /^ATTEST_(TOO_LARGE|MALFORMED|TRAILING_BYTES|MAGIC|TYPE)$|^QUOTE_(SELECTION_FORM|BANK_UNKNOWN)$/,
  },
  {
    rule: 'quote.scheme',
    holds: "the signature's scheme and hash are those of the key, and strong",
    codes: /^ATTEST_(SIGNATURE_MALFORMED|SCHEME_|HASH_)/,
  },
  { rule: 'quote.challenge', holds: 'it answers the nonce', codes: /^ATTEST_EXTRA_DATA_/ },
  { rule: 'quote.signer', holds: 'the key says that it is a child of this EK', codes: /^ATTEST_SIGNER_/ },
  {
    rule: 'quote.selection',
    holds: 'registers are quoted in a bank that is strong',
    codes: /^QUOTE_(SELECTION_|BANK_WEAK)/,
  },
  { rule: 'quote.values', holds: 'each quoted register has one value', codes: /^QUOTE_PCR_VALUE_/ },
  { rule: 'quote.signature', holds: 'signed by this attestation key', codes: /^ATTEST_SIGNATURE_INVALID$/ },
  { rule: 'quote.digest', holds: 'the values are those that were signed', codes: /^QUOTE_PCR_DIGEST_MISMATCH$/ },
]

/**
 * Holds every rule of a quote against the one in an evidence file. Total for whatever is in the file: what is wrong is a finding, and then
 * there is no quote. Whose key the AK is, is not asked here.
 *
 * @param nonce that was asked for; without it the one in the file is taken, which says nothing of the quote's age
 */
export function judgeQuote(file: EvidenceFile, nonce?: Uint8Array): JudgedQuote {
  const ak = attestationKey(file)
  if (ak instanceof CodedError) return refused([refusal('quote.ak', ak), ...notLookedAt(0)], ak)
  const good = finding('quote.ak', 'affirming', 'instance-identity', akText(ak))
  const parts = readParts(file)
  if ('error' in parts) {
    const others = notLookedAt(0).filter(({ rule }) => rule !== parts.rule)
    return refused([good, refusal(parts.rule, parts.error), ...others], parts.error)
  }
  const challenge = challengeOf(parts.claimed.extraData, nonce ?? file.nonce)
  const run = runRules(file, ak, parts, challenge.expected)
  const findings = [good, ...run.findings.map((f) => withNonce(f, nonce))]
  if ('refusal' in run) return refused(findings, run.refusal)
  return { findings, oddities: oddities(run.quote), quote: run.quote, challenge: challenge.kind }
}

function refused(findings: readonly Finding[], refusal: CodedError): JudgedQuote {
  return { findings, oddities: [], refusal }
}

/** Whose nonce it was makes all the difference. */
function withNonce(found: Finding, nonce: Uint8Array | undefined): Finding {
  if (found.rule !== 'quote.challenge' || found.tier !== 'affirming') return found
  const whose = nonce === undefined ? 'the nonce in the file, whoever chose it' : 'the nonce that you asked for'
  return { ...found, message: `it answers ${whose}` }
}

function attestationKey(file: EvidenceFile): VerifiedAk | AkError {
  try {
    return verifyAkPublic(file.akPublic, {})
  } catch (err) {
    if (err instanceof AkError) return err
    throw err
  }
}

function akText({ public: area, scheme, name }: VerifiedAk): string {
  const key = area.type === 'rsa' ? `RSA-${area.keyBits}` : area.curve
  return `a key that signs what its TPM made and nothing else: ${key}, ${scheme.alg} with ${scheme.hash}, Name ${toHex(name)}`
}

interface Parts {
  readonly claimed: ClaimedQuote
  readonly values: readonly PcrValue[]
  readonly parent: QualifiedParent
}

function readParts(file: EvidenceFile): Parts | { readonly rule: string; readonly error: CodedError } {
  try {
    const parent = { qualifiedName: qualifiedName({ hierarchy: TPM_RH_ENDORSEMENT }, objectName(file.ekPublic)) }
    return { claimed: claimedQuote(file), values: pcrValuesFromWire(file.pcrs), parent }
  } catch (error) {
    if (error instanceof WireError) return { rule: 'quote.signer', error } // the EK is no public area
    if (error instanceof ProtocolError) return { rule: 'quote.values', error }
    if (error instanceof AttestError) return { rule: 'quote.form', error }
    throw error
  }
}

/** As verifyQuote() says it. */
function claimedQuote({ attest }: EvidenceFile): ClaimedQuote {
  try {
    return decodeQuoteAttest(attest)
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw new AttestError('ATTEST_MALFORMED', cause.message, { cause })
  }
}

function challengeOf(extraData: Uint8Array, nonce: Uint8Array): { kind: 'nonce' | 'binding'; expected: Uint8Array } {
  if (equalBytes(extraData, nonce)) return { kind: 'nonce', expected: nonce }
  return { kind: 'binding', expected: collectionBinding(nonce) }
}

/** Rules that fail are named one after another, as far as those behind them can be looked at all the same. */
function runRules(
  file: EvidenceFile,
  ak: VerifiedAk,
  { claimed, values, parent }: Parts,
  challenge: Uint8Array,
): { readonly findings: readonly Finding[] } & ({ readonly quote: VerifiedQuote } | { readonly refusal: AttestError }) {
  const failed = new Map<string, AttestError>()
  for (;;) {
    try {
      const quote = verifyQuote({
        attest: file.attest,
        signature: file.signature,
        ak,
        expectedExtraData: failed.has('quote.challenge') ? claimed.extraData : challenge,
        ...(!failed.has('quote.signer') && { akParent: parent }),
        selection: claimed.pcrSelections,
        required: [],
        claimedValues: values,
      })
      const findings = ruleFindings(failed, RULES.length, claimed)
      const [first] = failed.values()
      return first === undefined ? { findings, quote } : { findings, refusal: first }
    } catch (err) {
      if (!(err instanceof AttestError)) throw err
      const at = RULES.findIndex(({ codes }) => codes.test(err.code))
      const rule = RULES[at]?.rule ?? 'quote.form'
      const again = !failed.has(rule) && (rule === 'quote.challenge' || rule === 'quote.signer')
      failed.set(rule, err)
      const [first = err] = failed.values()
      if (!again || claimed.extraData.length === 0)
        return { findings: ruleFindings(failed, at, claimed), refusal: first }
    }
  }
}

/** @param end position of the first rule that could not be looked at any more */
function ruleFindings(failed: ReadonlyMap<string, AttestError>, end: number, claimed: ClaimedQuote): Finding[] {
  const looked = RULES.slice(0, end + 1).map(({ rule, holds }) => {
    const why = failed.get(rule)
    if (why !== undefined) return refusal(rule, why)
    const more = rule === 'quote.selection' ? `: ${formatPcrSelections(claimed.pcrSelections)}` : ''
    return finding(rule, 'affirming', 'instance-identity', `${holds}${more}`)
  })
  return [...looked, ...notLookedAt(end + 1)]
}

function notLookedAt(from: number): Finding[] {
  return RULES.slice(from).map(({ rule }) =>
    finding(rule, 'none', 'instance-identity', 'not looked at: what comes before it is wrong'),
  )
}

function refusal(rule: string, { message, code }: CodedError): Finding {
  return finding(rule, 'contraindicated', 'instance-identity', `${message} (${code})`)
}

/** As a verifier weighs them. */
function oddities({ findings }: VerifiedQuote): Finding[] {
  return findings.flatMap(({ code, ...odd }) => {
    switch (code) {
      case 'QUOTE_BANK_UNUSED': {
        const bank = 'bank' in odd ? odd.bank : ''
        const message = `firmware measured nothing into bank ${bank}, so anybody may have`
        return [finding('quote.bank-unused', 'warning', 'executables', message)]
      }
      case 'QUOTE_BANK_SHA1':
        return [finding('quote.bank-sha1', 'affirming', 'executables', 'a SHA-1 bank is quoted; nothing rests on it')]
      case 'QUOTE_CLOCK_UNSAFE':
        return [] // of the TPM's history, which one file does not tell
      default:
        return code satisfies never
    }
  })
}
