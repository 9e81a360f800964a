import { type Kysely, type RawBuilder, type SqlBool, sql } from 'kysely'
import type { Standing } from '../appraisal/index.ts'
import type { NodeEndorsement } from './node-endorsement.ts'
import { type NodeEvent, type StandingReason, standingOfRow } from './node-events.ts'
import type { Admission, AdmittedBy, Labels } from './records.ts'
import type { Database, DecisionsTable, NodeEventsTable, NodesTable } from './schema.ts'

// The questions of the API. Each is asked within a scope, which is part of the query: what is outside of it is neither
// read nor counted. SQL that SQLite and PostgreSQL understand alike.

/** Nodes that have all of these labels, as they are now; without any, all nodes. */
export type Scope = Labels

/** A part of a list, and where the next part begins; `next` is absent at the end. */
export interface Page<Item, Key> {
  readonly items: readonly Item[]
  readonly next?: Key
}

/** What is shown of a node. */
export interface NodeView {
  readonly nodeId: string
  readonly admission: Admission
  readonly admittedBy: AdmittedBy | null
  readonly standing: Standing
  readonly standingSince: string
  readonly standingReasons: readonly StandingReason[]
  readonly tier: string
  readonly quarantine: string | null
  readonly akName: string | null
  readonly ekCertificateSha256: string | null
  readonly endorsement: NodeEndorsement | null
  readonly labels: Labels
  readonly attributes: Labels
  readonly createdAt: string
  readonly updatedAt: string
}

export interface NodeFilter {
  readonly standing?: Standing
  readonly admission?: Admission
  readonly labels: Labels
}

/** The last node of the part before. */
export interface NodeKey {
  readonly nodeId: string
  readonly createdAt: string
}

const NODE_COLUMNS = [
  ...(['node_id', 'admission', 'admitted_by', 'standing', 'standing_since', 'standing_reasons', 'tier'] as const),
  ...(['quarantine', 'ak_name', 'ek_certificate_sha256', 'endorsement', 'labels', 'attributes'] as const),
  ...(['created_at', 'updated_at'] as const),
] as const

/** Nodes in order of ID, which does not change while they are paged through, or the newest first. */
export async function pageOfNodes(
  db: Kysely<Database>,
  scope: Scope,
  filter: NodeFilter,
  page: { readonly order: 'id' | 'newest'; readonly after?: NodeKey; readonly limit: number },
): Promise<Page<NodeView, NodeKey>> {
  const { after, limit, order } = page
  let query = db.selectFrom('nodes').select([...NODE_COLUMNS])
  for (const condition of [...labelled(scope), ...labelled(filter.labels)]) query = query.where(condition)
  if (filter.standing !== undefined) query = query.where('standing', '=', filter.standing)
  if (filter.admission !== undefined) query = query.where('admission', '=', filter.admission)
  if (order === 'id') {
    if (after !== undefined) query = query.where('node_id', '>', after.nodeId)
    query = query.orderBy('node_id')
  } else {
    if (after !== undefined) {
      query = query.where((eb) =>
        eb.and([
          eb('created_at', '<=', after.createdAt), // for the index; the rest says it exactly
          eb.or([eb('created_at', '<', after.createdAt), eb('node_id', '<', after.nodeId)]),
        ]),
      )
    }
    query = query.orderBy('created_at', 'desc').orderBy('node_id', 'desc')
  }
  const rows = await query.limit(limit + 1).execute()
  return paged(rows.map(nodeView), limit, ({ nodeId, createdAt }) => ({ nodeId, createdAt }))
}

export async function nodeInScope(db: Kysely<Database>, scope: Scope, nodeId: string): Promise<NodeView | undefined> {
  let query = db
    .selectFrom('nodes')
    .select([...NODE_COLUMNS])
    .where('node_id', '=', nodeId)
  for (const condition of labelled(scope)) query = query.where(condition)
  const row = await query.executeTakeFirst()
  return row && nodeView(row)
}

/** One decision about a launch. */
export interface LaunchView {
  readonly id: number
  readonly at: string
  readonly nodeId: string
  readonly podUuid: string
  readonly outcome: string
  readonly code: string | null
  readonly reasons: readonly string[]
  readonly policyRevision: string | null
  readonly ticketId: string | null
  readonly tier: string
  readonly requestSha256: string
  readonly evidenceSha256: string
}

export interface HistoryFilter {
  readonly nodeId?: string
  /** ISO 8601, UTC, as the store writes it. */
  readonly since?: string
  /** Exclusive. */
  readonly until?: string
}

export interface LaunchFilter extends HistoryFilter {
  readonly outcome?: 'allowed' | 'denied'
  readonly podUuid?: string
}

const LAUNCH_COLUMNS = [
  ...(['decisions.id', 'decisions.at', 'decisions.node_id', 'pod_uuid', 'outcome', 'code', 'reasons'] as const),
  ...(['policy_revision', 'ticket_id', 'decisions.tier', 'request_sha256', 'evidence_sha256'] as const),
] as const

/** Launches, newest first, before the decision `before`. */
export async function pageOfLaunches(
  db: Kysely<Database>,
  scope: Scope,
  filter: LaunchFilter,
  page: { readonly before?: number; readonly limit: number },
): Promise<Page<LaunchView, number>> {
  let query = db.selectFrom('decisions').select([...LAUNCH_COLUMNS])
  for (const condition of ofNodes('decisions.node_id', scope)) query = query.where(condition)
  if (filter.nodeId !== undefined) query = query.where('node_id', '=', filter.nodeId)
  if (filter.outcome !== undefined) query = query.where('outcome', '=', filter.outcome)
  if (filter.podUuid !== undefined) query = query.where('pod_uuid', '=', filter.podUuid)
  if (filter.since !== undefined) query = query.where('at', '>=', filter.since)
  if (filter.until !== undefined) query = query.where('at', '<', filter.until)
  if (page.before !== undefined) query = query.where('id', '<', page.before)
  const rows = await query
    .orderBy('id', 'desc')
    .limit(page.limit + 1)
    .execute()
  return paged(rows.map(launchView), page.limit, ({ id }) => id)
}

/** One launch with its request, the bytes that were decided about. */
export async function launchInScope(
  db: Kysely<Database>,
  scope: Scope,
  id: number,
): Promise<{ readonly launch: LaunchView; readonly request: Uint8Array } | undefined> {
  let query = db
    .selectFrom('decisions')
    .select([...LAUNCH_COLUMNS, 'request'])
    .where('id', '=', id)
  for (const condition of ofNodes('decisions.node_id', scope)) query = query.where(condition)
  const row = await query.executeTakeFirst()
  return row && { launch: launchView(row), request: new Uint8Array(row.request) }
}

/** A change of verdict. */
export interface VerdictView {
  readonly id: number
  readonly at: string
  readonly nodeId: string
  readonly tier: string
  readonly findings: unknown
  readonly evidenceSha256: string | null
}

/** Changes of verdict of a node, newest first; who asks has seen that it is in scope. */
export async function pageOfVerdicts(
  db: Kysely<Database>,
  scope: Scope,
  nodeId: string,
  page: { readonly before?: number; readonly limit: number },
): Promise<Page<VerdictView, number>> {
  let query = db.selectFrom('verdicts').selectAll().where('node_id', '=', nodeId)
  for (const condition of ofNodes('verdicts.node_id', scope)) query = query.where(condition)
  if (page.before !== undefined) query = query.where('id', '<', page.before)
  const rows = await query
    .orderBy('id', 'desc')
    .limit(page.limit + 1)
    .execute()
  const items = rows.map((row) => ({
    id: Number(row.id),
    at: row.at,
    nodeId: row.node_id,
    tier: row.tier,
    findings: JSON.parse(row.findings),
    evidenceSha256: row.evidence_sha256,
  }))
  return paged(items, page.limit, ({ id }) => id)
}

export interface EventFilter extends HistoryFilter {
  /** The standing that a node has come to. */
  readonly standing?: Standing
}

/** Changes of standing, newest first, before the event `before`. */
export async function pageOfEvents(
  db: Kysely<Database>,
  scope: Scope,
  filter: EventFilter,
  page: { readonly before?: number; readonly limit: number },
): Promise<Page<NodeEvent, number>> {
  let query = db.selectFrom('node_events').selectAll()
  for (const condition of ofNodes('node_events.node_id', scope)) query = query.where(condition)
  if (filter.nodeId !== undefined) query = query.where('node_id', '=', filter.nodeId)
  if (filter.standing !== undefined) query = query.where('to', '=', filter.standing)
  if (filter.since !== undefined) query = query.where('at', '>=', filter.since)
  if (filter.until !== undefined) query = query.where('at', '<', filter.until)
  if (page.before !== undefined) query = query.where('id', '<', page.before)
  const rows = await query
    .orderBy('id', 'desc')
    .limit(page.limit + 1)
    .execute()
  return paged(rows.map(eventView), page.limit, ({ id }) => id)
}

/** Events after one and up to another, oldest first. */
export async function eventsBetween(
  db: Kysely<Database>,
  scope: Scope,
  range: { readonly after: number; readonly upTo: number; readonly limit: number },
): Promise<NodeEvent[]> {
  let query = db.selectFrom('node_events').selectAll().where('id', '>', range.after).where('id', '<=', range.upTo)
  for (const condition of ofNodes('node_events.node_id', scope)) query = query.where(condition)
  return (await query.orderBy('id').limit(range.limit).execute()).map(eventView)
}

/** Number of the newest event of the fleet, 0 where there is none. */
export async function newestEvent(db: Kysely<Database>): Promise<number> {
  const row = await db
    .selectFrom('node_events')
    .select((eb) => eb.fn.max('id').as('id'))
    .executeTakeFirst()
  return Number(row?.id ?? 0)
}

/**
 * Bytes that were kept, by their digest. In a scope with labels only evidence that a decision about one of its nodes,
 * or a verdict on one, rests on: policies and certificates are of the whole fleet.
 */
export async function evidenceInScope(
  db: Kysely<Database>,
  scope: Scope,
  sha256: string,
): Promise<{ readonly kind: string; readonly bytes: Uint8Array } | undefined> {
  let query = db.selectFrom('evidence').select(['kind', 'bytes']).where('sha256', '=', sha256)
  if (Object.keys(scope).length > 0) {
    query = query.where('kind', '=', 'evidence').where((eb) =>
      eb.or(
        (['decisions', 'verdicts'] as const).map((table) => {
          let referring = eb.selectFrom(table).select(sql<number>`1`.as('one')).where('evidence_sha256', '=', sha256)
          for (const condition of ofNodes(`${table}.node_id`, scope)) referring = referring.where(condition)
          return eb.exists(referring)
        }),
      ),
    )
  }
  const row = await query.executeTakeFirst()
  return row && { kind: row.kind, bytes: new Uint8Array(row.bytes) }
}

export interface NodeCount {
  readonly standing: string
  readonly admission: string
  readonly count: number
}

/** How many nodes there are of each standing and admission. */
export async function countNodes(db: Kysely<Database>, scope: Scope): Promise<NodeCount[]> {
  let query = db
    .selectFrom('nodes')
    .select(['standing', 'admission'])
    .select((eb) => eb.fn.countAll().as('count'))
  for (const condition of labelled(scope)) query = query.where(condition)
  const rows = await query.groupBy(['standing', 'admission']).execute()
  return rows.map(({ standing, admission, count }) => ({ standing, admission, count: Number(count) }))
}

export interface LaunchCount {
  readonly outcome: string
  readonly since: number
  readonly sinceLater: number
}

/** How many launches were allowed and denied since a time, and of these since a later one. */
export async function countLaunches(
  db: Kysely<Database>,
  scope: Scope,
  times: { readonly since: string; readonly later: string },
): Promise<LaunchCount[]> {
  let query = db
    .selectFrom('decisions')
    .select('outcome')
    .select((eb) => eb.fn.countAll().as('since'))
    .select(sql<unknown>`sum(case when decisions.at >= ${times.later} then 1 else 0 end)`.as('sinceLater'))
    .where('at', '>=', times.since)
  for (const condition of ofNodes('decisions.node_id', scope)) query = query.where(condition)
  const rows = await query.groupBy('outcome').execute()
  return rows.map((row) => ({
    outcome: row.outcome,
    since: Number(row.since),
    sinceLater: Number(row.sinceLater),
  }))
}

/**
 * Conditions on rows of `nodes`. Labels are JSON of our own writing, so that with a comma for the first brace
 * `,"key":"value"` stands in it just where the node has that label: within a key or value a quotation mark is escaped.
 * `replace` compares by case in both databases, as LIKE does not.
 */
export function labelled(labels: Labels): RawBuilder<SqlBool>[] {
  return Object.entries(labels).map(([key, value]) => {
    const member = `,${JSON.stringify(key)}:${JSON.stringify(value)}`
    const members = sql`',' || substr(nodes.labels, 2)`
    return sql<SqlBool>`replace(${members}, ${member}, '') <> ${members}`
  })
}

/** Conditions on rows of another table that names a node in `column`. */
export function ofNodes(column: string, scope: Scope): RawBuilder<SqlBool>[] {
  const conditions = labelled(scope)
  if (conditions.length === 0) return []
  return [
    sql<SqlBool>`exists (select 1 from nodes where nodes.node_id = ${sql.ref(column)} and ${sql.join(conditions, sql` and `)})`,
  ]
}

function paged<Item, Key>(rows: readonly Item[], limit: number, keyOf: (last: Item) => Key): Page<Item, Key> {
  const items = rows.slice(0, limit)
  const last = items[items.length - 1]
  return rows.length > limit && last !== undefined ? { items, next: keyOf(last) } : { items }
}

function nodeView(row: Pick<NodesTable, (typeof NODE_COLUMNS)[number]>): NodeView {
  return {
    nodeId: row.node_id,
    admission: row.admission as Admission, // the table's check constraint allows these words only
    admittedBy: row.admitted_by as AdmittedBy | null, // written by this folder only
    standing: standingOfRow(row),
    standingSince: row.standing_since === '' ? row.created_at : row.standing_since,
    standingReasons: JSON.parse(row.standing_reasons),
    tier: row.tier,
    quarantine: row.quarantine,
    akName: row.ak_name,
    ekCertificateSha256: row.ek_certificate_sha256,
    endorsement: row.endorsement === null ? null : JSON.parse(row.endorsement),
    labels: JSON.parse(row.labels),
    attributes: JSON.parse(row.attributes),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

function launchView(row: Omit<DecisionsTable, 'id' | 'request'> & { readonly id: number }): LaunchView {
  return {
    id: Number(row.id),
    at: row.at,
    nodeId: row.node_id,
    podUuid: row.pod_uuid,
    outcome: row.outcome,
    code: row.code,
    reasons: JSON.parse(row.reasons),
    policyRevision: row.policy_revision,
    ticketId: row.ticket_id,
    tier: row.tier,
    requestSha256: row.request_sha256,
    evidenceSha256: row.evidence_sha256,
  }
}

function eventView(row: Omit<NodeEventsTable, 'id'> & { readonly id: number }): NodeEvent {
  return {
    id: Number(row.id),
    at: row.at,
    nodeId: row.node_id,
    from: standingOfRow({ standing: row.from }),
    to: standingOfRow({ standing: row.to }),
    reasons: JSON.parse(row.reasons),
  }
}
