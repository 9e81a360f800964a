import type { Proof } from '../event-log/index.ts'
import type { Tier } from '../results/index.ts'

export type Tone = 'good' | 'partly' | 'open' | 'bad' | 'faint' | 'strong'

/** Gives a text its tone on a terminal. The text must be escaped already. */
export type Paint = (tone: Tone, text: string) => string

const CODES: Readonly<Record<Tone, string>> = {
  good: '32',
  partly: '36',
  open: '33',
  bad: '1;31',
  faint: '2',
  strong: '1',
}

export const PLAIN: Paint = (_, text) => text
/** ECMA-48 select graphic rendition. */
export const COLOURED: Paint = (tone, text) => `\u001b[${CODES[tone]}m${text}\u001b[0m`

/** What a proof is called. */
export const PROOF_WORDS: Readonly<Record<Proof, string>> = {
  data: 'proved',
  digest: 'digest only',
  'not-quoted': 'not quoted',
  'not-yet': 'not yet',
  refuted: 'refuted',
  'not-extended': 'not extended',
}

export const PROOF_TONES: Readonly<Record<Proof, Tone>> = {
  data: 'good',
  digest: 'partly',
  'not-quoted': 'open',
  'not-yet': 'open',
  refuted: 'bad',
  'not-extended': 'faint',
}

export const TIER_TONES: Readonly<Record<Tier, Tone>> = {
  affirming: 'good',
  warning: 'open',
  contraindicated: 'bad',
  none: 'open',
}

/** JSON whose strings hold no character that a terminal would act upon. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(/[\u007f-\u009f]|\p{Cf}|\p{Zl}|\p{Zp}/gu, (character) =>
    [...character.split('')].map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  )
}
