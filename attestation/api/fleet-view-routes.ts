import type { Standing } from '../appraisal/index.ts'
import {
  actsOnNode,
  arrivals,
  countNodes,
  detections as detectionsOf,
  evidenceInScope,
  launchOutcomes,
  mapNodes,
  nodeInScope,
  nodeMemory,
  nodesByName,
  nodesByPrefix,
  standingChanges,
} from '../store/index.ts'
import { evidenceFacts } from './evidence-facts.ts'
import { FleetMapBuilder } from './fleet-map.ts'
import { bucketsOf, PERIODS, type Period, trend as trendOf } from './fleet-trend.ts'
import {
  Acts,
  Detections,
  EvidenceFactsAnswer,
  FleetMapAnswer,
  Found,
  MapQuery,
  NodeFacts,
  PeriodQuery,
  SearchQuery,
  Trend,
} from './fleet-view-schemas.ts'
import { nodeFacts } from './node-facts.ts'
import { ApiError } from './problem.ts'
import { type ApiSources, type Route, route } from './route.ts'
import { EvidenceParams, NodeParams, Nothing } from './schemas.ts'

/** Nodes read at once: between two parts, others have their turn. */
const MAP_PART = 2000
const MAX_FOUND = 20
const MAX_DETECTIONS = 200
const MAX_ACTS = 100

const map = route({
  method: 'GET',
  path: '/v1/fleet/map',
  permission: 'nodes:read',
  subject: 'nodes',
  summary: 'All nodes and how they stand, in few bytes each',
  params: Nothing,
  query: MapQuery,
  answers: FleetMapAnswer,
  handle: async ({ principal, query }, { store }) => {
    const builder = new FleetMapBuilder(query.by)
    let after: string | undefined
    for (;;) {
      const from = after
      const part = await store.query((db) =>
        mapNodes(db, principal.labels, { limit: MAP_PART, ...(from !== undefined && { after: from }) }),
      )
      builder.add(part)
      after = part[part.length - 1]?.nodeId
      if (part.length < MAP_PART) return builder.build()
      await new Promise((resolve) => setImmediate(resolve))
    }
  },
})

const search = route({
  method: 'GET',
  path: '/v1/fleet/search',
  permission: 'nodes:read',
  subject: 'nodes',
  summary: 'Nodes by the beginning of their ID, or by host name',
  params: Nothing,
  query: SearchQuery,
  answers: Found,
  handle: async ({ principal, query }, { store }) => {
    const word = query.q?.trim().toLowerCase() ?? ''
    if (word === '') return { items: [] }
    const isPrefix = /^[0-9a-f]{2,64}$/.test(word)
    const byId = isPrefix ? await store.query((db) => nodesByPrefix(db, principal.labels, word, MAX_FOUND)) : []
    const room = MAX_FOUND - byId.length
    // all that a map asks for is the beginning of an ID: no name is looked for then
    const named =
      byId.length > 0 && word.length >= 12
        ? []
        : await store.query((db) => nodesByName(db, principal.labels, word, room))
    const known = new Set(byId.map(({ nodeId }) => nodeId))
    return { items: [...byId, ...named.filter(({ nodeId }) => !known.has(nodeId))] }
  },
})

const trend = route({
  method: 'GET',
  path: '/v1/fleet/trend',
  permission: 'summary:read',
  subject: 'nodes',
  summary: 'How many nodes stood how, and how many launches were allowed and denied, over a day, a week or a month',
  params: Nothing,
  query: PeriodQuery,
  answers: Trend,
  handle: async ({ principal, query }, { store, now }) => {
    const period = (query.period ?? 'day') as Period // the schema has just these words
    const { bucket } = PERIODS[period]
    const buckets = bucketsOf(period, now())
    const since = buckets[0] ?? ''
    const counts = new Map<Standing, number>()
    for (const { standing, count } of await store.query((db) => countNodes(db, principal.labels))) {
      const word = standing as Standing // the store writes no other
      counts.set(word, (counts.get(word) ?? 0) + count)
    }
    const changes = await store.query((db) => standingChanges(db, principal.labels, since, bucket))
    const came = await store.query((db) => arrivals(db, principal.labels, since, bucket))
    const launches = await store.query((db) => launchOutcomes(db, principal.labels, since, bucket))
    return { period, points: trendOf(buckets, bucket, counts, changes, came, launches) }
  },
})

const detections = route({
  method: 'GET',
  path: '/v1/fleet/detections',
  permission: 'nodes:read',
  subject: 'nodes',
  summary: 'Verdicts against nodes, newest first, and when each node was last found good before',
  params: Nothing,
  query: PeriodQuery,
  answers: Detections,
  handle: async ({ principal, query }, { store, now }) => {
    const since = bucketsOf((query.period ?? 'day') as Period, now())[0] ?? '' // as above
    return { items: await store.query((db) => detectionsOf(db, principal.labels, since, MAX_DETECTIONS)) }
  },
})

/** What is of one node is for who may see the node. */
async function seen(store: ApiSources['store'], scope: Parameters<typeof nodeInScope>[1], id: string): Promise<void> {
  if ((await store.query((db) => nodeInScope(db, scope, id))) === undefined) {
    throw new ApiError('NOT_FOUND', 'no node of this ID')
  }
}

const facts = route({
  method: 'GET',
  path: '/v1/nodes/{id}/facts',
  permission: 'nodes:read',
  subject: 'nodes',
  summary: 'What is proved of a node now: registers, boot, agent, pods',
  params: NodeParams,
  query: Nothing,
  answers: NodeFacts,
  handle: async ({ principal, params }, { store }) => {
    await seen(store, principal.labels, params.id)
    const memory = await store.query((db) => nodeMemory(db, params.id))
    return nodeFacts(memory ?? { state: null, machine: null })
  },
})

const acts = route({
  method: 'GET',
  path: '/v1/nodes/{id}/acts',
  permission: 'nodes:read',
  subject: 'nodes',
  summary: 'What operators did to a node, newest first',
  params: NodeParams,
  query: Nothing,
  answers: Acts,
  handle: async ({ principal, params }, { store }) => {
    await seen(store, principal.labels, params.id)
    return { items: await store.query((db) => actsOnNode(db, params.id, MAX_ACTS)) }
  },
})

const ofEvidence = route({
  method: 'GET',
  path: '/v1/evidence/{sha256}/facts',
  permission: 'evidence:read',
  subject: 'nodes',
  summary: 'What kept evidence of a node says: registers, and the events of a boot in words',
  params: EvidenceParams,
  query: Nothing,
  answers: EvidenceFactsAnswer,
  handle: async ({ principal, params }, { store }) => {
    const found = await store.query((db) => evidenceInScope(db, principal.labels, params.sha256))
    const read = found?.kind === 'evidence' ? evidenceFacts(found.bytes) : undefined
    if (read === undefined) throw new ApiError('NOT_FOUND', 'no evidence of a node is kept under this digest')
    return read
  },
})

/** What the dashboard shows of the fleet beside its lists. */
export const FLEET_VIEW_ROUTES: readonly Route[] = [map, search, trend, detections, facts, acts, ofEvidence]
