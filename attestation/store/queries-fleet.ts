import { type Kysely, sql } from 'kysely'
import type { Standing } from '../appraisal/index.ts'
import { standingOfRow } from './node-events.ts'
import { labelled, type NodeView, ofNodes, type Scope } from './queries.ts'
import type { Labels } from './records.ts'
import type { Database } from './schema.ts'

// What the dashboard asks of the whole fleet. Within a scope, and in SQL that SQLite and PostgreSQL understand alike,
// as in queries.ts.

/** What the map of the fleet has of a node. */
export interface MapNode {
  readonly nodeId: string
  readonly standing: Standing
  /** JSON, as it is kept: nodes share few of these texts, so that each is read once. */
  readonly labels: string
}

/** Nodes after one, in order of ID. */
export async function mapNodes(
  db: Kysely<Database>,
  scope: Scope,
  page: { readonly after?: string; readonly limit: number },
): Promise<MapNode[]> {
  let query = db.selectFrom('nodes').select(['node_id', 'standing', 'labels'])
  for (const condition of labelled(scope)) query = query.where(condition)
  if (page.after !== undefined) query = query.where('node_id', '>', page.after)
  const rows = await query.orderBy('node_id').limit(page.limit).execute()
  return rows.map((row) => ({ nodeId: row.node_id, standing: standingOfRow(row), labels: row.labels }))
}

/** A node in few words, for lists of what was found. */
export interface FoundNode {
  readonly nodeId: string
  readonly standing: Standing
  readonly standingSince: string
  readonly reason: string | null
  readonly hostname: string | null
  readonly labels: Labels
}

/** Nodes whose ID begins so. */
export async function nodesByPrefix(
  db: Kysely<Database>,
  scope: Scope,
  prefix: string,
  limit: number,
): Promise<FoundNode[]> {
  // `g` is behind all digits: a range, so that the key's index is used whatever the order of other letters is
  return await found(db, scope, limit, (query) =>
    query.where('node_id', '>=', prefix).where('node_id', '<', `${prefix}g`),
  )
}

/** Nodes whose host name has this in it; names are what nodes say of themselves. */
export async function nodesByName(
  db: Kysely<Database>,
  scope: Scope,
  part: string,
  limit: number,
): Promise<FoundNode[]> {
  const inJson = JSON.stringify(part.toLowerCase()).slice(1, -1)
  const pattern = `%"hostname":"%${inJson.replace(/[\\%_]/g, (c) => `\\${c}`)}%`
  const rows = await found(db, scope, limit, (query) =>
    query.where(sql<string>`lower(attributes)`, 'like', sql<string>`${pattern} escape '\\'`),
  )
  // the pattern may also have matched another attribute behind the name
  return rows.filter(({ hostname }) => hostname?.toLowerCase().includes(part.toLowerCase()))
}

type NodesQuery = ReturnType<typeof nodesQuery>

function nodesQuery(db: Kysely<Database>) {
  return db
    .selectFrom('nodes')
    .select(['node_id', 'standing', 'standing_since', 'standing_reasons', 'created_at', 'labels', 'attributes'])
}

async function found(
  db: Kysely<Database>,
  scope: Scope,
  limit: number,
  narrow: (query: NodesQuery) => NodesQuery,
): Promise<FoundNode[]> {
  let query = narrow(nodesQuery(db))
  for (const condition of labelled(scope)) query = query.where(condition)
  const rows = await query.orderBy('node_id').limit(limit).execute()
  return rows.map((row) => {
    const reasons: NodeView['standingReasons'] = JSON.parse(row.standing_reasons)
    const attributes: Labels = JSON.parse(row.attributes)
    return {
      nodeId: row.node_id,
      standing: standingOfRow(row),
      standingSince: row.standing_since === '' ? row.created_at : row.standing_since,
      reason: reasons[0]?.message ?? null,
      hostname: attributes['hostname'] ?? null,
      labels: JSON.parse(row.labels),
    }
  })
}

/** So many characters of a time make a bucket: 2026-06-15T12:3 is ten minutes. */
export const BUCKETS = { 'ten-minutes': 15, hour: 13, day: 10 } as const
export type Bucket = keyof typeof BUCKETS

export interface StandingChanges {
  readonly bucket: string
  readonly from: string
  readonly to: string
  readonly count: number
}

/** How many nodes went from one standing to another, by the time of it. */
export async function standingChanges(
  db: Kysely<Database>,
  scope: Scope,
  since: string,
  bucket: Bucket,
): Promise<StandingChanges[]> {
  let query = db
    .selectFrom('node_events')
    .select(['from', 'to', bucketOf('node_events.at', bucket).as('bucket')])
    .select((eb) => eb.fn.countAll().as('count'))
    .where('at', '>=', since)
    .whereRef('from', '<>', 'to')
  for (const condition of ofNodes('node_events.node_id', scope)) query = query.where(condition)
  const rows = await query.groupBy([bucketOf('node_events.at', bucket), 'from', 'to']).execute()
  return rows.map((row) => ({ ...row, count: Number(row.count) }))
}

export interface BucketCount {
  readonly bucket: string
  readonly what: string
  readonly count: number
}

/** How many nodes came, by the time of it. */
export async function arrivals(
  db: Kysely<Database>,
  scope: Scope,
  since: string,
  bucket: Bucket,
): Promise<BucketCount[]> {
  let query = db
    .selectFrom('nodes')
    .select(bucketOf('nodes.created_at', bucket).as('bucket'))
    .select((eb) => eb.fn.countAll().as('count'))
    .where('created_at', '>=', since)
  for (const condition of labelled(scope)) query = query.where(condition)
  const rows = await query.groupBy(bucketOf('nodes.created_at', bucket)).execute()
  return rows.map((row) => ({ bucket: row.bucket, what: 'arrived', count: Number(row.count) }))
}

/** How many launches were allowed and denied, by the time of it. */
export async function launchOutcomes(
  db: Kysely<Database>,
  scope: Scope,
  since: string,
  bucket: Bucket,
): Promise<BucketCount[]> {
  let query = db
    .selectFrom('decisions')
    .select(['outcome', bucketOf('decisions.at', bucket).as('bucket')])
    .select((eb) => eb.fn.countAll().as('count'))
    .where('at', '>=', since)
  for (const condition of ofNodes('decisions.node_id', scope)) query = query.where(condition)
  const rows = await query.groupBy([bucketOf('decisions.at', bucket), 'outcome']).execute()
  return rows.map((row) => ({ bucket: row.bucket, what: row.outcome, count: Number(row.count) }))
}

/** The length is no parameter: PostgreSQL groups by an expression only where it is the same to the letter. */
function bucketOf(column: string, bucket: Bucket) {
  return sql<string>`substr(${sql.ref(column)}, 1, ${sql.lit(BUCKETS[bucket])})`
}

/** A verdict against a node, and the last that was kept of it before. */
export interface Detection {
  readonly id: number
  readonly at: string
  readonly nodeId: string
  readonly tier: string
  readonly rule: string | null
  readonly message: string | null
  /** When the node was last found good, and that was kept; null where it never was. */
  readonly lastGoodAt: string | null
  readonly evidenceSha256: string | null
}

/** The newest verdicts against nodes that evidence led to, each with the last good verdict or launch before it. */
export async function detections(
  db: Kysely<Database>,
  scope: Scope,
  since: string,
  limit: number,
): Promise<Detection[]> {
  let query = db
    .selectFrom('verdicts')
    .select(['verdicts.id', 'verdicts.at', 'verdicts.node_id', 'verdicts.tier', 'findings', 'verdicts.evidence_sha256'])
    .select((eb) => [
      eb
        .selectFrom('verdicts as good')
        .select((of) => of.fn.max('good.at').as('at'))
        .whereRef('good.node_id', '=', 'verdicts.node_id')
        .whereRef('good.id', '<', 'verdicts.id')
        .where('good.tier', '=', 'affirming')
        .as('goodVerdictAt'),
      eb
        .selectFrom('decisions')
        .select((of) => of.fn.max('decisions.at').as('at'))
        .whereRef('decisions.node_id', '=', 'verdicts.node_id')
        .whereRef('decisions.at', '<', 'verdicts.at')
        .where('decisions.tier', '=', 'affirming')
        .as('goodLaunchAt'),
    ])
    .where('verdicts.tier', '=', 'contraindicated')
    .where('verdicts.evidence_sha256', 'is not', null)
    .where('verdicts.at', '>=', since)
  for (const condition of ofNodes('verdicts.node_id', scope)) query = query.where(condition)
  const rows = await query.orderBy('verdicts.id', 'desc').limit(limit).execute()
  return rows.map((row) => {
    const [worst]: { rule: string; message: string }[] = JSON.parse(row.findings)
    const good = [row.goodVerdictAt, row.goodLaunchAt].filter((at) => at !== null).sort()
    return {
      ...{ id: Number(row.id), at: row.at, nodeId: row.node_id, tier: row.tier },
      ...{ rule: worst?.rule ?? null, message: worst?.message ?? null },
      ...{ lastGoodAt: good[good.length - 1] ?? null, evidenceSha256: row.evidence_sha256 },
    }
  })
}

/** What the verifier remembers of a node between two quotes, as JSON. */
export async function nodeMemory(
  db: Kysely<Database>,
  nodeId: string,
): Promise<{ readonly state: string | null; readonly machine: string | null } | undefined> {
  return await db.selectFrom('nodes').select(['state', 'machine']).where('node_id', '=', nodeId).executeTakeFirst()
}

/** What an operator did to a node. */
export interface ActView {
  readonly id: number
  readonly at: string
  readonly operator: string
  readonly act: string
  readonly detail: unknown
}

/** Acts on a node, newest first; who asks has seen that it is in scope. */
export async function actsOnNode(db: Kysely<Database>, nodeId: string, limit: number): Promise<ActView[]> {
  const rows = await db
    .selectFrom('operator_acts')
    .select(['id', 'at', 'operator', 'act', 'detail'])
    .where('node_id', '=', nodeId)
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
  return rows.map(({ id, detail, ...row }) => ({ id: Number(id), ...row, detail: JSON.parse(detail) }))
}
