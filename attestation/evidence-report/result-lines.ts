import { toHex } from '../base/index.ts'
import { digest } from '../crypto/index.ts'
import {
  AR4SI,
  AR4SI_ANY,
  type Ear,
  type EarAppraisal,
  earTier,
  type Tier,
  tierOfValue,
  VECTOR_CLAIMS,
  type VectorClaim,
} from '../results/index.ts'
import { TIER_TONES, type Tone } from './paint.ts'

/** One line of what a result says. Texts are as they stand in it: escape before showing. */
export interface ResultLine {
  readonly section: string
  readonly what: string
  readonly text: string
  /** Never `good` for what nobody verified, nor for what is not claimed. */
  readonly tone?: Tone
}

/** Findings of the extension that are shown; a result can carry some hundred. */
const MAX_FINDINGS = 64

/**
 * What an attestation result says. Every entry of the trustworthiness vector has its line, also one that makes no
 * claim.
 *
 * @param verified whether the signature was found to be that of a key which somebody trusts for results
 */
export function earLines(ear: Ear, verified: boolean): ResultLine[] {
  const line = (what: string, text: string | undefined): ResultLine[] =>
    text === undefined ? [] : [{ section: 'result', what, text }]
  return [
    ...line('profile', ear.profile),
    ...line('issued', isoTime(ear.issuedAt)),
    ...line('expires', ear.expiresAt === undefined ? 'never, it says' : isoTime(ear.expiresAt)),
    ...line('issuer', ear.issuer ?? 'not named'),
    ...line('subject', ear.subject ?? 'not named'),
    ...line('verifier', `${ear.verifier.developer}, ${ear.verifier.build}`),
    ...line('nonce', nonceText(ear.nonces)),
    ...line('raw evidence', ear.rawEvidence && `${ear.rawEvidence.length} bytes`),
    ...line('status', ear.status && `${ear.status}, over all attesters`),
    ...[...ear.submods].flatMap(([label, appraisal]) => appraisalLines(label, appraisal, verified)),
  ]
}

function appraisalLines(label: string, appraisal: EarAppraisal, verified: boolean): ResultLine[] {
  const section = `attester ${label}`
  const line = (what: string, text: string): ResultLine => ({ section, what, text })
  const { status, vector, policyIds, profile, nonces, attestedKey, findings } = appraisal
  const isBacked = Object.values(vector ?? {}).some((value) => value !== 0)
  const worth = earTier(appraisal, isBacked ? [] : VECTOR_CLAIMS)
  return [
    {
      ...line('status', worth === status ? status : `${status}, and no entry of the vector says why`),
      tone: toneOf(worth, verified),
    },
    ...VECTOR_CLAIMS.map((claim) => vectorLine(section, claim, vector?.[claim], verified)),
    ...(profile === undefined ? [] : [line('profile', profile)]),
    ...policyIds.map((id) => line('policy', id)),
    ...(nonces.length === 0 ? [] : [line('evidence nonce', nonceText(nonces))]),
    ...(attestedKey === undefined ? [] : [line('attested key', `SHA-256 ${toHex(digest('sha256', attestedKey))}`)]),
    ...(findings ?? []).slice(0, MAX_FINDINGS).map(({ rule, tier, message }) => ({
      ...line('finding', `${tier}  ${rule}: ${message}`),
      tone: toneOf(tier, verified),
    })),
    ...((findings?.length ?? 0) > MAX_FINDINGS
      ? [line('finding', `and ${(findings?.length ?? 0) - MAX_FINDINGS} more`)]
      : []),
  ]
}

function vectorLine(section: string, claim: VectorClaim, value: number | undefined, verified: boolean): ResultLine {
  if (value === undefined) return { section, what: claim, text: 'no claim: the result does not have it', tone: 'open' }
  const tier = tierOfValue(value)
  const name = valueName(claim, value)
  const text = `${value === 0 ? 'no claim' : tier} (${value}${name === undefined ? '' : `, ${name}`})`
  return { section, what: claim, text, tone: toneOf(tier, verified) }
}

/** Words of AR4SI for a value, such as `approved at boot`. */
function valueName(claim: VectorClaim, value: number): string | undefined {
  const own: Readonly<Record<string, number>> = AR4SI[claim]
  const found = [...Object.entries(own), ...Object.entries(AR4SI_ANY)].find(
    ([name, v]) => v === value && name !== 'noClaim',
  )
  return found?.[0].replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

/** A good word is worth nothing from somebody unknown; a bad one is shown as it is. */
function toneOf(tier: Tier, verified: boolean): Tone {
  return tier === 'affirming' && !verified ? 'open' : TIER_TONES[tier]
}

export function nonceText(nonces: readonly (string | Uint8Array)[]): string {
  const texts = nonces.map((nonce) => (typeof nonce === 'string' ? nonce : toHex(nonce)))
  return texts.join(', ') || 'none: it may be an answer to anything'
}

export function isoTime(seconds: number): string {
  return new Date(1000 * seconds).toISOString()
}
