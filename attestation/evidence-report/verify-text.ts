import { EAR_SUBMOD, type Finding } from '../appraisal/index.ts'
import { printable } from '../base/index.ts'
import { type ClaimsEncoding, EAR_PROFILE, type Ear, type Tier, toBase64url } from '../results/index.ts'
import { type Paint, printableJson, TIER_TONES } from './paint.ts'
import type { Verification } from './verify.ts'

const VERDICTS: Readonly<Record<Tier, string>> = {
  affirming: 'holds',
  warning: 'warning',
  contraindicated: 'refused',
  none: 'unknown',
}
const OVERALL: Readonly<Record<Tier, string>> = {
  affirming: 'TRUSTED: every rule holds',
  warning: 'NOT TRUSTED: a rule warns',
  contraindicated: 'NOT TRUSTED: a rule is broken',
  none: 'NOT JUDGED: nothing speaks against it, but what is needed is not all proved',
}
const ORDER: readonly Tier[] = ['affirming', 'none', 'warning', 'contraindicated']

/** Every rule with its verdict in words, the worst last where a person reads on; then what no file proves; then the verdict over all. */
export function verifyText({ node, policy, result, unproved }: Verification, paint: Paint): string {
  const rows = result.findings.toSorted((a, b) => rank(a) - rank(b))
  const width = Math.max(...rows.map(({ rule }) => rule.length))
  const lines = [
    `node ${node ?? 'unknown'}`,
    ...(policy === undefined ? [] : [`policy ${printable(policy.name)}, revision ${policy.revision}`]),
    '',
    ...rows.flatMap((row) => ruleLines(row, width, paint)),
    '',
    ...(unproved.length === 0 ? [] : [paint('strong', 'Not shown by this file:')]),
    ...unproved.map(({ what, why }) => `  ${what.padEnd(13)}${printable(why)}`),
    ...(unproved.length === 0 ? [] : ['']),
    paint(TIER_TONES[result.tier], OVERALL[result.tier]),
  ]
  return `${lines.join('\n')}\n`
}

function rank({ tier, policy }: Finding): number {
  return policy?.mode === 'observe' ? -1 : ORDER.indexOf(tier)
}

function ruleLines(
  { rule, tier, message, expected, seen, event, policy }: Finding,
  width: number,
  paint: Paint,
): string[] {
  const observed = policy?.mode === 'observe'
  const word = observed ? paint('faint', 'observed') : paint(TIER_TONES[tier], VERDICTS[tier].padEnd(8))
  const indent = ' '.repeat(14 + width)
  const more =
    observed || tier === 'affirming'
      ? []
      : [
          ...(expected === undefined ? [] : [`${indent}expected ${printable(expected)}`]),
          ...(seen === undefined ? [] : [`${indent}seen     ${printable(seen)}`]),
          ...(event === undefined ? [] : [`${indent}in event ${event.index} of the ${event.source} log`]),
        ]
  return [`  ${word}  ${rule.padEnd(width)}  ${printable(message)}`, ...more]
}

/** `{"v": 1, "node", "policy", "tier", "vector", "rules": [finding], "unproved": [{"what", "why"}]}`; findings as in results. */
export function verifyJson({ node, policy, result, unproved }: Verification): string {
  const named = policy === undefined ? null : { name: policy.name, revision: policy.revision }
  const { tier, vector, findings } = result
  return `${printableJson({ v: 1, node: node ?? null, policy: named, tier, vector, rules: findings, unproved })}\n`
}

/** Bytes of a nonce that EAT can carry (RFC 9711 §4.1). */
const NONCE_BYTES = { json: { least: 6, most: 64 }, cbor: { least: 8, most: 64 } } as const

/**
 * The claims of an attestation result; nobody signs them here, so they are for looking at.
 * @param encoding that they are to be written in: a nonce is text in one, and bytes in the other
 */
export function verifyEar(
  { node, policy, result }: Verification,
  nonce: Uint8Array,
  now: Date,
  encoding: ClaimsEncoding,
): Ear {
  const { least, most } = NONCE_BYTES[encoding]
  const carried = nonce.length >= least && nonce.length <= most
  return {
    dialect: 'draft-03',
    profile: EAR_PROFILE,
    issuedAt: Math.floor(now.getTime() / 1000),
    ...(node !== undefined && { subject: node }),
    nonces: carried ? [encoding === 'json' ? toBase64url(nonce) : nonce] : [],
    verifier: { developer: 'Holdfast', build: 'holdfast-evidence/1' },
    submods: new Map([
      [
        EAR_SUBMOD,
        {
          status: result.tier,
          vector: result.vector,
          policyIds: policy === undefined ? [] : [policy.revision],
          nonces: [],
          findings: result.findings,
        },
      ],
    ]),
  }
}
