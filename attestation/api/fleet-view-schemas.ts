import { Type } from '@sinclair/typebox'
import { STANDINGS } from '../appraisal/index.ts'
import { NodeId } from './schemas.ts'

const closed = { additionalProperties: false }
const Text = Type.String()
const count = Type.Integer({ minimum: 0 })
const orNull = <T extends ReturnType<typeof Type.String>>(schema: T) => Type.Union([schema, Type.Null()])
const Labels = Type.Record(Type.String(), Type.String())
const Word = Type.String({ enum: [...STANDINGS], pattern: `^(${STANDINGS.join('|')})$` })

export const MapQuery = Type.Object(
  {
    by: Type.Optional(
      Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$', description: 'label that nodes are grouped by' }),
    ),
  },
  closed,
)
export const FleetMapAnswer = Type.Object({
  total: count,
  by: orNull(Text),
  keys: Type.Array(Type.Object({ key: Text, values: count }), { description: 'labels to group by' }),
  groups: Type.Array(
    Type.Object({
      value: orNull(Text),
      count,
      standing: Type.String({ description: 'one digit a node: position in `standings`' }),
      ids: Type.String({ description: 'base64 of the first `idBytes` bytes of the ID of each node' }),
    }),
  ),
  standings: Type.Array(Word),
  idBytes: count,
})

export const SearchQuery = Type.Object(
  {
    q: Type.Optional(
      Type.String({
        pattern: '^[\\x20-\\x7e]{2,253}$',
        description: 'the beginning of a node ID, or a part of a host name; without it nothing is found',
      }),
    ),
  },
  closed,
)
export const Found = Type.Object({
  items: Type.Array(
    Type.Object({
      nodeId: NodeId,
      standing: Word,
      standingSince: Text,
      reason: orNull(Text),
      hostname: orNull(Text),
      labels: Labels,
    }),
  ),
})

export const PeriodQuery = Type.Object(
  { period: Type.Optional(Type.String({ pattern: '^(day|week|month)$', enum: ['day', 'week', 'month'] })) },
  closed,
)
export const Trend = Type.Object({
  period: Text,
  points: Type.Array(
    Type.Object({
      at: Type.String({ description: 'beginning of this part of the period' }),
      standing: Type.Record(Word, count, { description: 'at its end' }),
      launches: Type.Object({ allowed: count, denied: count }),
    }),
  ),
})
export const Detections = Type.Object({
  items: Type.Array(
    Type.Object({
      id: count,
      at: Text,
      nodeId: NodeId,
      tier: Text,
      rule: orNull(Text),
      message: orNull(Text),
      lastGoodAt: orNull(Text),
      evidenceSha256: orNull(Text),
    }),
  ),
})

const Clock = { resetCount: count, restartCount: count, clockMs: Text }
const Summary = Type.Record(Type.String(), Type.String())
export const NodeFacts = Type.Object({
  clock: Type.Union([Type.Object({ ...Clock, safe: Type.Boolean() }), Type.Null()]),
  launchPcr: Type.Union([count, Type.Null()]),
  agent: Type.Union([Type.Object({ version: Text, mode: Text, programSha256: Text }), Type.Null()]),
  pods: Type.Array(
    Type.Object({
      uuid: Text,
      launched: Type.Boolean(),
      ticketed: Type.Boolean(),
      stage1: orNull(Text),
      images: Type.Array(Text),
    }),
  ),
  registers: Type.Array(Type.Object({ pcr: count, bank: Text, value: Text, proved: Text })),
  boot: Type.Union([Summary, Type.Null()]),
  lastGoodBoot: Type.Union([Summary, Type.Null()]),
  bootFindings: Type.Array(Type.Unknown()),
  tickets: Type.Array(Type.Object({ id: Text, uuid: Text, overdue: Type.Boolean() })),
})
export const EvidenceFactsAnswer = Type.Object({
  purpose: Text,
  clock: Type.Object(Clock),
  tpmFirmware: Text,
  pcrs: Type.Array(Type.Object({ bank: Text, pcr: count, value: Text })),
  logs: Type.Array(Type.Object({ source: Text, offset: count, bytes: count })),
  boot: Type.Union([Summary, Type.Null()]),
  events: Type.Array(Type.Object({ source: Text, index: count, register: Text, type: Text, text: Text, proof: Text })),
  moreEvents: count,
})
export const Acts = Type.Object({
  items: Type.Array(Type.Object({ id: count, at: Text, operator: Text, act: Text, detail: Type.Unknown() })),
})
