import { Type } from '@sinclair/typebox'

/** Descriptions complete the sentence "wants ..."; editors show them as help. */
export const closed = { additionalProperties: false }
export const block = (what: string) => ({ ...closed, description: `a block: ${what}` })
export const text = (description: string, pattern?: string) =>
  Type.String({ minLength: 1, maxLength: 1024, description, ...(pattern !== undefined && { pattern }) })
/** One of a few words; as an enum, so that editors offer them. */
export const choice = <T extends string>(...values: readonly T[]) =>
  Type.Unsafe<T>(
    Type.String({ enum: [...values], pattern: `^(${values.join('|')})$`, description: `one of ${values.join(', ')}` }),
  )
export const whole = (what: string, minimum: number, maximum: number) =>
  Type.Integer({ minimum, maximum, description: `${what}, ${minimum} to ${maximum}` })

/** A policy names people and reasons; an empty one would say nothing. */
export const Owner = text('who answers for it: a name, a team or an address')
export const DateText = text(
  'a date in UTC, through whose end it holds (2027-03-31), or a time (2027-03-31T12:00:00Z)',
  '^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}:\\d{2}Z)?$',
)
export const Mode = choice('observe', 'warn', 'enforce')

/** Reference values: banks better than SHA-1, by the length of their digests. */
const HEX_DIGEST = '^([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$'
export const Digest = text('a digest: 64, 96 or 128 lowercase hexadecimal digits, in quotes', HEX_DIGEST)
export const Sha256 = text('a SHA-256: 64 lowercase hexadecimal digits, in quotes', '^[0-9a-f]{64}$')
const NamedDigest = Type.Object(
  { digest: Digest, name: Type.Optional(text('what has this digest, for people')) },
  closed,
)
const ReferenceDigest = Type.Union([Digest, NamedDigest], {
  description: 'a digest (64, 96 or 128 lowercase hexadecimal digits, in quotes) or {digest, name}',
})
export const ReferenceDigests = Type.Array(ReferenceDigest, {
  minItems: 1,
  maxItems: 4096,
  description: 'a list of 1 to 4096 digests',
})
export const Glob = text('text, in which * stands for any characters, ? for one and \\ before a character for itself')
export const Globs = (what: string) =>
  Type.Array(Glob, { minItems: 1, maxItems: 256, description: `a list of 1 to 256 patterns of ${what}` })

/** A file beside the policy, whose content the policy is sure of. */
export const ReferencedFile = Type.Object(
  {
    file: text('the name of a file beside the policy', '^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$'),
    sha256: Sha256,
  },
  block('file and sha256'),
)

const LabelValue = text('a value of the label')
const LabelValues = Type.Union([LabelValue, Type.Array(LabelValue, { minItems: 1, maxItems: 256 })], {
  description: 'a value of the label, or a list of 1 to 256 of them',
})
const Labels = Type.Record(text('a label', '^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$'), LabelValues, {
  ...closed,
  minProperties: 1,
  maxProperties: 32,
  description: 'a map of labels to the values meant',
})
/** Which nodes: by the labels that an operator gave them. */
export const Selector = Type.Object(
  { all: Type.Optional(Labels), any: Type.Optional(Labels), none: Type.Optional(Labels) },
  { ...block('all, any, none'), minProperties: 1 },
)
