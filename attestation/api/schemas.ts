import { type TSchema, Type } from '@sinclair/typebox'
import { STANDINGS } from '../appraisal/index.ts'

const closed = { additionalProperties: false }
const hex64 = (description: string) => Type.String({ pattern: '^[0-9a-f]{64}$', description })
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const word = <const T extends string>(values: readonly T[], description: string) =>
  Type.Unsafe<T>(Type.String({ pattern: `^(${values.join('|')})$`, enum: [...values], description }))
const time = (description: string) =>
  Type.String({
    pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?(Z|[+-]\\d{2}:\\d{2})$',
    maxLength: 40,
    description: `${description}; RFC 3339`,
  })
const number = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })

export const NodeId = hex64('SHA-256 name of the EK')
const Standing = word(STANDINGS, 'how the node stands')
const Admission = word(['pending', 'admitted', 'refused'], 'whether it may do anything')
const Labels = Type.Record(Type.String(), Type.String())
const LABEL = '^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}=[\\x21-\\x7e]{0,128}$'

const paging = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, description: 'at most so many; 100 unless told' })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 512, description: '`next` of the part before' })),
}
const period = {
  since: Type.Optional(time('not before')),
  until: Type.Optional(time('before')),
}

export const PagingQuery = Type.Object(paging, closed)
export const NodesQuery = Type.Object(
  {
    standing: Type.Optional(Standing),
    admission: Type.Optional(Admission),
    label: Type.Optional(
      Type.Array(Type.String({ pattern: LABEL }), {
        maxItems: 8,
        description: '`key=value`; repeated, all of them are meant',
      }),
    ),
    order: Type.Optional(word(['id', 'newest'], 'by ID, which is the default, or the newest first')),
    ...paging,
  },
  closed,
)
export const LaunchesQuery = Type.Object(
  {
    node: Type.Optional(NodeId),
    pod: Type.Optional(Type.String({ pattern: '^[0-9a-f-]{36}$', description: 'UUID of the pod' })),
    outcome: Type.Optional(word(['allowed', 'denied'], 'what was decided')),
    ...period,
    ...paging,
  },
  closed,
)
export const EventsQuery = Type.Object(
  { node: Type.Optional(NodeId), standing: Type.Optional(Standing), ...period, ...paging },
  closed,
)
export const Nothing = Type.Object({}, closed)
export const NodeParams = Type.Object({ id: NodeId }, closed)
export const LaunchParams = Type.Object(
  { id: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'number of the decision' }) },
  closed,
)
export const EvidenceParams = Type.Object({ sha256: hex64('digest of the bytes') }, closed)

/** As KEY=VALUE and KEY- of `holdfast nodes label`. */
export const LabelChange = Type.Object(
  {
    set: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$' }),
        Type.String({ pattern: '^[\\x21-\\x7e]{0,128}$' }),
        { ...closed, maxProperties: 64 },
      ),
    ),
    remove: Type.Optional(Type.Array(Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$' }), { maxItems: 64 })),
  },
  closed,
)

const Reason = Type.Object({ rule: Type.String(), message: Type.String() })
export const Node = Type.Object({
  nodeId: NodeId,
  admission: Admission,
  admittedBy: nullable(Type.String()),
  standing: Standing,
  standingSince: Type.String(),
  standingReasons: Type.Array(Reason),
  tier: Type.String({ description: 'of the last appraisal, as AR4SI has it' }),
  quarantine: nullable(Type.String({ description: 'why it is in quarantine' })),
  akName: nullable(Type.String()),
  ekCertificateSha256: nullable(Type.String()),
  endorsement: nullable(Type.Unknown({ description: 'what vouches for the EK, as `holdfast nodes show` prints it' })),
  labels: Labels,
  attributes: Type.Record(Type.String(), Type.String(), { description: 'what the node says of itself; not proved' }),
  createdAt: Type.String(),
  updatedAt: Type.String(),
})
const launch = {
  id: number,
  at: Type.String(),
  nodeId: NodeId,
  podUuid: Type.String(),
  outcome: word(['allowed', 'denied'], 'what was decided'),
  code: nullable(Type.String()),
  reasons: Type.Array(Type.String()),
  policyRevision: nullable(Type.String()),
  ticketId: nullable(Type.String()),
  tier: Type.String(),
  requestSha256: Type.String(),
  evidenceSha256: Type.String(),
}
export const Launch = Type.Object(launch)
export const LaunchWithRequest = Type.Object({
  ...launch,
  request: nullable(Type.Unknown({ description: 'what the node asked for; null where that was not to be read' })),
})
export const Verdict = Type.Object({
  id: number,
  at: Type.String(),
  nodeId: NodeId,
  tier: Type.String(),
  findings: Type.Unknown(),
  evidenceSha256: nullable(Type.String()),
})
export const NodeEvent = Type.Object({
  id: number,
  at: Type.String(),
  nodeId: NodeId,
  from: Standing,
  to: Standing,
  reasons: Type.Array(Reason),
})
export const listOf = <T extends TSchema>(item: T) =>
  Type.Object({
    items: Type.Array(item),
    next: nullable(Type.String({ description: 'cursor of the next part; null at the end' })),
  })

const count = Type.Integer({ minimum: 0 })
const counted = (words: readonly string[]) => Type.Object(Object.fromEntries(words.map((w) => [w, count])), closed)
const Outcomes = counted(['allowed', 'denied'])
export const Summary = Type.Object({
  nodes: Type.Object({
    total: count,
    byStanding: counted(STANDINGS),
    byAdmission: counted(['pending', 'admitted', 'refused']),
  }),
  launches: Type.Object({ lastHour: Outcomes, lastDay: Outcomes }),
})

const LaunchPolicy = Type.Object({
  id: Type.String(),
  description: nullable(Type.String()),
  effect: Type.String(),
  actions: Type.Array(Type.String()),
  file: Type.String(),
  line: Type.Integer(),
  text: Type.String(),
})
const AppraisalPolicy = Type.Object({
  name: Type.String(),
  file: Type.String(),
  description: nullable(Type.String()),
  owner: Type.String(),
  fallback: Type.Boolean({ description: 'for every node that no other policy is for' }),
  priority: Type.Number(),
  revision: hex64('its content is in the evidence, by this digest'),
  rules: Type.Array(
    Type.Object({ name: Type.String(), kind: Type.String(), mode: Type.String(), owner: Type.String() }),
  ),
})
export const Policies = Type.Object({
  launch: Type.Object({
    revision: hex64('the set is in the evidence, by this digest'),
    policies: Type.Array(LaunchPolicy),
  }),
  appraisal: Type.Array(AppraisalPolicy),
})

export const ProblemDocument = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  instance: Type.Optional(Type.String()),
  errors: Type.Optional(
    Type.Array(
      Type.Object({
        parameter: Type.Optional(Type.String()),
        header: Type.Optional(Type.String()),
        pointer: Type.Optional(Type.String()),
        detail: Type.String(),
      }),
    ),
  ),
})
