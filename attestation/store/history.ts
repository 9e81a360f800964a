import type { Kysely } from 'kysely'
import type { Database } from './schema.ts'

/** A row of the decisions, as people ask for it. */
export interface StoredDecision {
  readonly at: string
  readonly podUuid: string
  readonly outcome: string
  readonly code?: string
  readonly reasons: readonly string[]
  readonly policyRevision?: string
  readonly ticketId?: string
  readonly tier: string
  readonly evidenceSha256: string
}

/** A row of the changes of verdict. */
export interface StoredVerdict {
  readonly at: string
  readonly tier: string
  readonly findings: unknown
  readonly evidenceSha256?: string
}

/** Launch decisions of a node, newest first. */
export async function readDecisions(db: Kysely<Database>, nodeId: string, limit: number): Promise<StoredDecision[]> {
  const rows = await db
    .selectFrom('decisions')
    .select(['at', 'pod_uuid', 'outcome', 'code', 'reasons', 'policy_revision', 'ticket_id', 'tier', 'evidence_sha256'])
    .where('node_id', '=', nodeId)
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    at: row.at,
    podUuid: row.pod_uuid,
    outcome: row.outcome,
    ...(row.code !== null && { code: row.code }),
    reasons: JSON.parse(row.reasons),
    ...(row.policy_revision !== null && { policyRevision: row.policy_revision }),
    ...(row.ticket_id !== null && { ticketId: row.ticket_id }),
    tier: row.tier,
    evidenceSha256: row.evidence_sha256,
  }))
}

/** Changes of tier, newest first. */
export async function readVerdicts(db: Kysely<Database>, nodeId: string, limit: number): Promise<StoredVerdict[]> {
  const rows = await db
    .selectFrom('verdicts')
    .select(['at', 'tier', 'findings', 'evidence_sha256'])
    .where('node_id', '=', nodeId)
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    at: row.at,
    tier: row.tier,
    findings: JSON.parse(row.findings),
    ...(row.evidence_sha256 !== null && { evidenceSha256: row.evidence_sha256 }),
  }))
}
