import { type Static, Type } from '@sinclair/typebox'
import { RuleSchema } from './schema-rules.ts'
import { block, choice, closed, Mode, Owner, Selector, text, whole } from './schema-words.ts'

const Pcrs = Type.Array(whole('a PCR', 0, 15), {
  minItems: 1,
  maxItems: 16,
  uniqueItems: true,
  description: 'a list of different PCRs, such as [0, 1, 2, 3, 4, 5, 6, 7]',
})

/** A policy as it is written; config/appraisal/default.yaml explains each setting. */
export const PolicySchema = Type.Object(
  {
    version: Type.Unsafe<1>(Type.Integer({ minimum: 1, maximum: 1, description: '1, the version of this form' })),
    name: text('a name: lowercase letters, digits, - and _', '^[a-z0-9][a-z0-9_-]{0,62}$'),
    description: Type.Optional(text('what the policy is for')),
    owner: Owner,
    nodes: Type.Optional(Selector),
    priority: Type.Optional(whole('a priority', 0, 1000)),
    attestation: Type.Optional(
      Type.Object(
        {
          intervalSeconds: Type.Optional(whole('seconds', 1, 86_400)),
          jitterPercent: Type.Optional(whole('percent of the interval', 0, 50)),
        },
        block('intervalSeconds, jitterPercent'),
      ),
    ),
    podsOnFailure: Type.Optional(choice('leave', 'stop')),
    evidence: Type.Optional(
      Type.Object(
        {
          logs: Type.Optional(
            Type.Array(choice('firmware', 'systemd', 'ima', 'launch-log'), {
              maxItems: 4,
              uniqueItems: true,
              description: 'a list of logs: firmware, systemd, ima, launch-log',
            }),
          ),
          pcrs: Type.Optional(
            Type.Object(
              { sha256: Type.Optional(Pcrs), sha384: Type.Optional(Pcrs), sha512: Type.Optional(Pcrs) },
              { ...block('sha256, sha384 or sha512, each a list of PCRs'), minProperties: 1 },
            ),
          ),
        },
        block('logs, pcrs'),
      ),
    ),
    unlisted: Type.Optional(Mode),
    rules: Type.Record(text('the name of a rule', '^[a-z0-9][a-z0-9_-]{0,62}$'), RuleSchema, {
      ...closed,
      maxProperties: 256,
      description: 'a map of names (lowercase letters, digits, - and _) to rules',
    }),
  },
  { ...closed, description: 'a map of settings' },
)
export type PolicyText = Static<typeof PolicySchema>
export type RuleText = PolicyText['rules'][string]
export type SelectorText = NonNullable<PolicyText['nodes']>
