import type { Static } from '@sinclair/typebox'
import { fromUtf8 } from '../base/index.ts'
import {
  type HistoryFilter,
  launchInScope,
  type NodeView,
  nodeInScope,
  type OperatorAct,
  operate,
  type Page,
  pageOfEvents,
  pageOfLaunches,
  pageOfNodes,
  pageOfVerdicts,
  type Scope,
  type Store,
} from '../store/index.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { FLEET_ROUTES } from './fleet-routes.ts'
import { FLEET_VIEW_ROUTES } from './fleet-view-routes.ts'
import { ApiError } from './problem.ts'
import { type ApiSources, type Route, type RouteDescription, type RouteRequest, route } from './route.ts'
import {
  EventsQuery,
  LabelChange,
  Launch,
  LaunchesQuery,
  LaunchParams,
  LaunchWithRequest,
  listOf,
  Node,
  NodeEvent,
  NodeParams,
  NodesQuery,
  Nothing,
  PagingQuery,
  Verdict,
} from './schemas.ts'

const DEFAULT_LIMIT = 100

const nodes = route({
  method: 'GET',
  path: '/v1/nodes',
  permission: 'nodes:read',
  subject: 'nodes',
  summary: 'Nodes, by standing, admission and labels',
  params: Nothing,
  query: NodesQuery,
  answers: listOf(Node),
  handle: async ({ principal, query }, { store }) => {
    const { order = 'id', cursor, limit = DEFAULT_LIMIT, standing, admission, label = [] } = query
    const list = `nodes-${order}`
    const [nodeId, createdAt] = cursor === undefined ? [] : decodeCursor(list, cursor, ['string', 'string'])
    const after = nodeId === undefined ? {} : { after: { nodeId: String(nodeId), createdAt: String(createdAt) } }
    const filter = {
      ...(standing !== undefined && { standing }),
      ...(admission !== undefined && { admission }),
      labels: labelFilter(label),
    }
    const page = await store.query((db) => pageOfNodes(db, principal.labels, filter, { order, limit, ...after }))
    return listed(page, list, (key) => [key.nodeId, key.createdAt])
  },
})

/** The same key twice is no filter that a node could pass, and a map would keep the last one only. */
function labelFilter(words: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {}
  for (const text of words) {
    const at = text.indexOf('=')
    const key = text.slice(0, at)
    if (Object.hasOwn(labels, key)) {
      throw new ApiError('INVALID_PARAMETER', 'see errors', [{ parameter: 'label', detail: `names ${key} twice` }])
    }
    labels[key] = text.slice(at + 1)
  }
  return labels
}

const node = route({
  method: 'GET',
  path: '/v1/nodes/{id}',
  permission: 'nodes:read',
  subject: 'nodes',
  summary: 'One node',
  params: NodeParams,
  query: Nothing,
  answers: Node,
  handle: async ({ principal, params }, { store }) => await findNode(store, principal.labels, params.id),
})

const verdicts = route({
  method: 'GET',
  path: '/v1/nodes/{id}/verdicts',
  permission: 'nodes:read',
  subject: 'nodes',
  summary: 'Changes of verdict of a node, newest first',
  params: NodeParams,
  query: PagingQuery,
  answers: listOf(Verdict),
  handle: async ({ principal, params, query }, { store }) => {
    await findNode(store, principal.labels, params.id)
    const page = await store.query((db) =>
      pageOfVerdicts(db, principal.labels, params.id, newestFirst('verdicts', query)),
    )
    return listed(page, 'verdicts', (id) => [id])
  },
})

const decisions = route({
  method: 'GET',
  path: '/v1/nodes/{id}/decisions',
  permission: 'launches:read',
  subject: 'nodes',
  summary: 'Decisions about launches of a node, newest first',
  params: NodeParams,
  query: PagingQuery,
  answers: listOf(Launch),
  handle: async ({ principal, params, query }, { store }) => {
    await findNode(store, principal.labels, params.id)
    const filter = { nodeId: params.id }
    const page = await store.query((db) => pageOfLaunches(db, principal.labels, filter, newestFirst('launches', query)))
    return listed(page, 'launches', (id) => [id])
  },
})

const launches = route({
  method: 'GET',
  path: '/v1/launches',
  permission: 'launches:read',
  subject: 'nodes',
  summary: 'Decisions about launches, newest first',
  params: Nothing,
  query: LaunchesQuery,
  answers: listOf(Launch),
  handle: async ({ principal, query }, { store }) => {
    const { outcome, pod } = query
    const filter = {
      ...historyFilter(query),
      ...(outcome !== undefined && { outcome }),
      ...(pod !== undefined && { podUuid: pod }),
    }
    const page = await store.query((db) => pageOfLaunches(db, principal.labels, filter, newestFirst('launches', query)))
    return listed(page, 'launches', (id) => [id])
  },
})

const launch = route({
  method: 'GET',
  path: '/v1/launches/{id}',
  permission: 'launches:read',
  subject: 'nodes',
  summary: 'One decision with the request it is about',
  params: LaunchParams,
  query: Nothing,
  answers: LaunchWithRequest,
  handle: async ({ principal, params }, { store }) => {
    const found = await store.query((db) => launchInScope(db, principal.labels, params.id))
    if (found === undefined) throw new ApiError('NOT_FOUND', 'no launch of this number')
    return { ...found.launch, request: readRequest(found.request) }
  },
})

/** A request that was refused may be anything. */
function readRequest(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(fromUtf8(bytes))
  } catch {
    return null
  }
}

const events = route({
  method: 'GET',
  path: '/v1/events',
  permission: 'events:read',
  subject: 'nodes',
  summary: 'Changes of standing, newest first',
  params: Nothing,
  query: EventsQuery,
  answers: listOf(NodeEvent),
  handle: async ({ principal, query }, { store }) => {
    const filter = { ...historyFilter(query), ...(query.standing !== undefined && { standing: query.standing }) }
    const page = await store.query((db) => pageOfEvents(db, principal.labels, filter, newestFirst('events', query)))
    return listed(page, 'events', (id) => [id])
  },
})

/** An operator's act that needs no more than its name. */
function actRoute(act: Extract<OperatorAct['act'], 'admit' | 'refuse' | 'release' | 'rebind'>, summary: string): Route {
  return route({
    method: 'POST',
    path: `/v1/nodes/{id}/${act}`,
    permission: 'nodes:operate',
    subject: 'nodes',
    summary,
    params: NodeParams,
    query: Nothing,
    body: Nothing,
    answers: Node,
    handle: async (request, sources) => await carryOut(request, { act }, sources),
  })
}

/** Labels choose policies, and which tokens see a node: that is for who may see the whole fleet. */
const label = route({
  method: 'POST',
  path: '/v1/nodes/{id}/labels',
  permission: 'nodes:label',
  subject: 'fleet',
  summary: 'Set and remove labels of a node',
  params: NodeParams,
  query: Nothing,
  body: LabelChange,
  answers: Node,
  handle: async (request, sources) => {
    const { set = {}, remove = [] } = request.body
    return await carryOut(request, { act: 'label', set, remove }, sources)
  },
})

async function carryOut(
  { principal, params }: Pick<RouteRequest<Static<typeof NodeParams>, unknown, unknown>, 'principal' | 'params'>,
  act: OperatorAct,
  { store, operatorActed }: ApiSources,
): Promise<NodeView> {
  await findNode(store, principal.labels, params.id)
  await operate(store, params.id, act, principal.name)
  operatorActed()
  return await findNode(store, principal.labels, params.id)
}

/** A node that is out of scope does not exist. */
async function findNode(store: Store, scope: Scope, nodeId: string): Promise<NodeView> {
  const found = await store.query((db) => nodeInScope(db, scope, nodeId))
  if (found === undefined) throw new ApiError('NOT_FOUND', 'no node of this ID')
  return found
}

function historyFilter(query: { node?: string; since?: string; until?: string }): HistoryFilter {
  return {
    ...(query.node !== undefined && { nodeId: query.node }),
    ...(query.since !== undefined && { since: storedTime('since', query.since) }),
    ...(query.until !== undefined && { until: storedTime('until', query.until) }),
  }
}

/** As the store writes times, so that they compare as text. */
function storedTime(parameter: string, text: string): string {
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) {
    throw new ApiError('INVALID_PARAMETER', 'see errors', [{ parameter, detail: 'is no date that there is' }])
  }
  return new Date(ms).toISOString()
}

function newestFirst(list: string, query: { limit?: number; cursor?: string }): { before?: number; limit: number } {
  const [before] = query.cursor === undefined ? [] : decodeCursor(list, query.cursor, ['number'])
  return { limit: query.limit ?? DEFAULT_LIMIT, ...(before !== undefined && { before: Number(before) }) }
}

function listed<Item, Key>(page: Page<Item, Key>, list: string, parts: (key: Key) => readonly (string | number)[]) {
  return { items: page.items, next: page.next === undefined ? null : encodeCursor(list, parts(page.next)) }
}

/** All that the API has, but for its description and the stream of events, which the server adds. */
export const ROUTES: readonly Route[] = [
  ...[nodes, node, verdicts, decisions, launches, launch, events, ...FLEET_ROUTES],
  actRoute('admit', 'Let a node launch pods, as far as launch policies allow'),
  actRoute('refuse', 'Let a node do nothing any more'),
  actRoute('release', 'End the quarantine of a node'),
  actRoute('rebind', 'Accept another attestation key of the same TPM'),
  label,
  ...FLEET_VIEW_ROUTES,
]

/** Answered by the server itself, which keeps it open. */
export const STREAM_ROUTE: RouteDescription = {
  method: 'GET',
  path: '/v1/events/stream',
  permission: 'events:read',
  subject: 'nodes',
  summary: 'Changes of standing as they come (server-sent events); the header Last-Event-ID resumes',
  params: Nothing,
  query: Nothing,
  media: ['text/event-stream'],
}

/** Tells no more than the documentation does. */
export const DESCRIPTION_ROUTE: RouteDescription = {
  method: 'GET',
  path: '/v1/openapi.json',
  permission: 'description:read',
  subject: 'none',
  summary: 'This description',
  params: Nothing,
  query: Nothing,
  media: ['application/json'],
}

/** Counts of the whole fleet, and of this verifier alone. */
export const METRICS_ROUTE: RouteDescription = {
  method: 'GET',
  path: '/metrics',
  permission: 'metrics:read',
  subject: 'fleet',
  summary: 'What this verifier counts, for Prometheus',
  params: Nothing,
  query: Nothing,
  media: ['text/plain'],
}
