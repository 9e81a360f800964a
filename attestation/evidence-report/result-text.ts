import { printable } from '../base/index.ts'
import { type ResultToken, VECTOR_CLAIMS } from '../results/index.ts'
import { eatLines } from './eat-lines.ts'
import { type Paint, printableJson, type Tone } from './paint.ts'
import { plainJson } from './plain-json.ts'
import { earLines } from './result-lines.ts'

/** A file that is an attestation result, as readResultToken() gives it. */
export interface OpenedResult {
  readonly result: ResultToken
  readonly sizeBytes: number
}

/**
 * What is known of who made a result. `verified`: the signature is that of a key that somebody named, and the times
 * hold. Else its claims are worth what its way here was worth.
 */
export type ResultSignature = 'verified' | 'not checked' | 'none'

/** How far a result got without a key. */
export function uncheckedSignature({ form }: ResultToken): ResultSignature {
  return form === 'jwt' ? 'not checked' : 'none'
}

const HEADLINES: Readonly<Record<ResultSignature, readonly [Tone, string]>> = {
  verified: ['good', 'signed by the key that you named: it is worth what the holder of that key is worth'],
  'not checked': ['open', 'not verified: anybody could have written this; --key checks whose signature it is'],
  none: ['open', 'not verified: nobody signed these claims'],
}
const LABEL_COLUMNS = 20

/** As text for a person. */
export function resultText(opened: OpenedResult, signature: ResultSignature, paint: Paint): string {
  const { result } = opened
  const verified = signature === 'verified'
  const lines = result.kind === 'ear' ? earLines(result.ear, verified) : eatLines(result.eat, verified)
  const out = [`${paint('strong', describeResult(result))}, ${opened.sizeBytes} bytes`, paint(...HEADLINES[signature])]
  let section: string | undefined
  for (const line of lines) {
    if (line.section !== section) out.push('', paint('strong', printable(line.section.toUpperCase())))
    section = line.section
    const text = printable(line.text)
    out.push(
      `  ${printable(line.what).padEnd(LABEL_COLUMNS)}${line.tone === undefined ? text : paint(line.tone, text)}`,
    )
  }
  return `${out.join('\n')}\n`
}

/**
 * `{"v": 1, "detected", "kind": "result", "sizeBytes", "signature": "verified" | "not checked" | "none",
 *  "ear": {...} | "eat": {...}}`: claims by Holdfast's names for them, bytes in hexadecimal; a vector has all eight
 * entries, null where there is no claim.
 */
export function resultJson(opened: OpenedResult, signature: ResultSignature): string {
  const { result, sizeBytes } = opened
  const head = { v: 1, detected: describeResult(result), kind: 'result', sizeBytes, signature }
  if (result.kind === 'eat') return `${printableJson({ ...head, eat: plainJson(result.eat) })}\n`
  const submods = new Map(
    [...result.ear.submods].map(([label, appraisal]) => {
      const vector = Object.fromEntries(VECTOR_CLAIMS.map((claim) => [claim, appraisal.vector?.[claim] ?? null]))
      return [label, { ...appraisal, vector }]
    }),
  )
  return `${printableJson({ ...head, ear: plainJson({ ...result.ear, submods }) })}\n`
}

/** What was found, for people. */
export function describeResult(result: ResultToken): string {
  const form =
    result.form === 'jwt' ? `JWT, ${printable(result.algorithm, 32)}` : `bare claims in ${result.form.toUpperCase()}`
  return result.kind === 'ear'
    ? `attestation result (EAR, ${result.ear.dialect === 'draft-03' ? 'draft-03' : 'dotted names'}; ${form})`
    : `entity attestation token (EAT; ${form})`
}
