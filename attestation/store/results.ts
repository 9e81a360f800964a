import type { Kysely } from 'kysely'
import { type Finding, reasonsAgainst } from '../appraisal/index.ts'
import { blob } from './blob.ts'
import { StoreError } from './errors.ts'
import { recordStanding, type StandingReason } from './node-events.ts'
import { recordPodTpm } from './pod-tpms.ts'
import type { DecisionRecord, EvidenceItem, NodeVersion, VerdictChange } from './records.ts'
import type { Database } from './schema.ts'

/** What one appraisal leaves behind. */
export interface ResultRecord {
  /** That the appraisal began with. */
  readonly node: NodeVersion
  readonly state: string
  /** Where it is another one than before. */
  readonly machine?: string
  /** Kept without a change of verdict too: it holds what is sent only once. */
  readonly keepEvidence?: boolean
  readonly change?: VerdictChange
  readonly evidence: EvidenceItem
}

/** Within a transaction: the node's new state; a change of verdict with its evidence. */
export async function recordResult(tx: Kysely<Database>, at: string, r: ResultRecord): Promise<void> {
  await updateNode(tx, at, r)
  if (r.change || r.keepEvidence === true) await recordEvidence(tx, at, r.evidence)
  if (!r.change) return
  await tx
    .insertInto('verdicts')
    .values({
      at,
      node_id: r.node.nodeId,
      tier: r.change.tier,
      findings: r.change.findings,
      evidence_sha256: r.evidence.sha256,
    })
    .execute()
  await recordStanding(tx, at, r.node.nodeId, reasonsOf(r.change), false)
}

/** Within a transaction: a change of verdict that no evidence led to. */
export async function recordVerdict(
  tx: Kysely<Database>,
  at: string,
  node: NodeVersion,
  change: VerdictChange,
  state: string | undefined,
): Promise<void> {
  await updateNode(tx, at, { node, change, state })
  await tx
    .insertInto('verdicts')
    .values({ at, node_id: node.nodeId, tier: change.tier, findings: change.findings, evidence_sha256: null })
    .execute()
  await recordStanding(tx, at, node.nodeId, reasonsOf(change), change.silent)
}

/** What spoke against the node, worst first; where nothing did, why it is trusted again needs no reason. */
function reasonsOf(change: VerdictChange): StandingReason[] {
  const findings: readonly Finding[] = JSON.parse(change.findings)
  return reasonsAgainst(findings).map(({ rule, message }) => ({ rule, message }))
}

/**
 * Within a transaction: a decision, its evidence and the node's new state.
 *
 * @throws StoreError STORE_CONFLICT as Store.saveDecision
 */
export async function recordDecision(
  tx: Kysely<Database>,
  at: string,
  d: DecisionRecord,
  result: ResultRecord,
): Promise<void> {
  if (d.outcome === 'allowed') {
    const fit = await tx
      .selectFrom('nodes')
      .select('node_id')
      .where('node_id', '=', d.nodeId)
      .where('admission', '=', 'admitted')
      .where('quarantine', 'is', null)
      .executeTakeFirst()
    if (!fit) throw new StoreError('STORE_CONFLICT', `node ${d.nodeId} is not admitted, or is in quarantine`)
    if (d.podTpm !== undefined) await recordPodTpm(tx, at, { ...d.podTpm, host: d.nodeId, podUuid: d.podUuid })
  }
  await recordResult(tx, at, result)
  await recordEvidence(tx, at, result.evidence)
  await tx
    .insertInto('decisions')
    .values({
      at,
      node_id: d.nodeId,
      pod_uuid: d.podUuid,
      outcome: d.outcome,
      code: d.code ?? null,
      reasons: JSON.stringify(d.reasons),
      policy_revision: d.policyRevision ?? null,
      ticket_id: d.ticketId ?? null,
      tier: d.tier,
      request_sha256: d.requestSha256,
      request: blob(d.request),
      evidence_sha256: result.evidence.sha256,
    })
    .execute()
}

/** Within a transaction: bytes under their digest, unless they are there. */
export async function recordEvidence(tx: Kysely<Database>, at: string, item: EvidenceItem): Promise<void> {
  await tx
    .insertInto('evidence')
    .values({ sha256: item.sha256, kind: item.kind, at, bytes: blob(item.bytes) })
    .onConflict((oc) => oc.column('sha256').doNothing())
    .execute()
}

async function updateNode(
  tx: Kysely<Database>,
  at: string,
  r: Pick<ResultRecord, 'node'> & {
    readonly change?: VerdictChange | undefined
    readonly state: string | undefined
    readonly machine?: string
  },
): Promise<void> {
  const done = await tx
    .updateTable('nodes')
    .set({
      updated_at: at,
      revision: r.node.revision + 1,
      ...(r.state !== undefined && { state: r.state }),
      ...(r.machine !== undefined && { machine: r.machine }),
      ...(r.change && { tier: r.change.tier }),
      ...(r.change?.quarantine !== undefined && { quarantine: r.change.quarantine }),
    })
    .where('node_id', '=', r.node.nodeId)
    .where('generation', '=', r.node.generation)
    .where('revision', '=', r.node.revision)
    .executeTakeFirst()
  if (done.numUpdatedRows !== 1n) {
    throw new StoreError(
      'STORE_CONFLICT',
      `an operator or another verifier has changed node ${r.node.nodeId} in between`,
    )
  }
}
