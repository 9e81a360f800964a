import type { Kysely } from 'kysely'
import { type Standing, standingOf, tierFromText } from '../appraisal/index.ts'
import type { Database, NodesTable } from './schema.ts'

/** One reason for a standing, as a rule or an operator gave it. */
export interface StandingReason {
  readonly rule: string
  readonly message: string
}

/** A change of a node's standing. */
export interface NodeEvent {
  /** Rises by at least one with each event of the fleet. */
  readonly id: number
  /** ISO 8601, UTC. */
  readonly at: string
  readonly nodeId: string
  readonly from: Standing
  readonly to: Standing
  readonly reasons: readonly StandingReason[]
}

const MAX_REASONS = 8

/**
 * Within the transaction that changed a node: keeps its standing, and an event where it is another one than before.
 *
 * @param silent whether the node has fallen silent; undefined leaves that as it was
 */
export async function recordStanding(
  tx: Kysely<Database>,
  at: string,
  nodeId: string,
  reasons: readonly StandingReason[],
  silent: boolean | undefined,
): Promise<void> {
  const row = await tx.selectFrom('nodes').selectAll().where('node_id', '=', nodeId).executeTakeFirstOrThrow()
  const from = standingOfRow(row)
  const to = standingOf({
    admission: row.admission as 'pending' | 'admitted' | 'refused', // the table's check constraint allows these words only
    quarantined: row.quarantine !== null,
    silent: silent ?? from === 'stale',
    tier: tierFromText(row.tier),
  })
  if (from === to) return
  const kept = JSON.stringify(reasons.slice(0, MAX_REASONS))
  await tx
    .updateTable('nodes')
    .set({ standing: to, standing_since: at, standing_reasons: kept })
    .where('node_id', '=', nodeId)
    .execute()
  await tx.insertInto('node_events').values({ at, node_id: nodeId, from, to, reasons: kept }).execute()
}

/** Within the transaction that made it: a node that nobody has heard of before waits for an operator. */
export async function recordArrival(tx: Kysely<Database>, at: string, nodeId: string): Promise<void> {
  const reasons = [
    { rule: 'enrolment.admission', message: `waits for an operator: holdfast nodes admit ${nodeId.slice(0, 12)}` },
  ]
  await tx
    .insertInto('node_events')
    .values({ at, node_id: nodeId, from: 'pending', to: 'pending', reasons: JSON.stringify(reasons) })
    .execute()
}

export function standingOfRow(row: Pick<NodesTable, 'standing'>): Standing {
  return row.standing as Standing // written by recordStanding only
}

/** Events after `id`, oldest first. */
export async function readNodeEvents(db: Kysely<Database>, after: number, limit: number): Promise<NodeEvent[]> {
  const rows = await db
    .selectFrom('node_events')
    .selectAll()
    .where('id', '>', after)
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    id: row.id,
    at: row.at,
    nodeId: row.node_id,
    from: row.from as Standing, // as above
    to: row.to as Standing,
    reasons: JSON.parse(row.reasons),
  }))
}

/**
 * The last event that a receiver has acknowledged; for a new receiver the newest there is, so that it hears of what
 * comes.
 */
export async function eventCursor(tx: Kysely<Database>, receiver: string): Promise<number> {
  const had = await tx.selectFrom('webhooks').select('event_id').where('receiver', '=', receiver).executeTakeFirst()
  if (had) return had.event_id
  const newest = await tx
    .selectFrom('node_events')
    .select((eb) => eb.fn.max('id').as('id'))
    .executeTakeFirst()
  const start = newest?.id ?? 0
  await tx.insertInto('webhooks').values({ receiver, event_id: start, acknowledged_at: null }).execute()
  return start
}

/** The receiver has what came up to this event. */
export async function moveEventCursor(
  tx: Kysely<Database>,
  at: string,
  receiver: string,
  eventId: number,
): Promise<void> {
  await tx
    .updateTable('webhooks')
    .set({ event_id: eventId, acknowledged_at: at })
    .where('receiver', '=', receiver)
    .execute()
}
