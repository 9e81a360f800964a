import type { Kysely } from 'kysely'
import { parseNodeState, serialiseNodeState, withAnotherAk } from '../appraisal/index.ts'
import { blob } from './blob.ts'
import { StoreError } from './errors.ts'
import type { NodeEndorsement } from './node-endorsement.ts'
import { recordArrival } from './node-events.ts'
import {
  type AdmittedBy,
  type BoundAk,
  type EvidenceItem,
  type Labels,
  type NodeRecord,
  nodeFromRow,
} from './records.ts'
import { recordEvidence } from './results.ts'
import type { Database } from './schema.ts'

/** What was proved of the EK, with the certificates that it was proved by. */
export interface Endorsed {
  readonly record: NodeEndorsement
  readonly certificates: readonly EvidenceItem[]
}

/** A node that has just proved EK and AK. */
export interface Enrolment {
  readonly nodeId: string
  readonly ekPublic: Uint8Array
  readonly ekCertificateSha256?: string
  readonly endorsement?: Endorsed
  readonly ak: BoundAk
  readonly attributes: Labels
  readonly admission:
    | { readonly kind: 'pending' }
    | { readonly kind: 'listed' }
    | { readonly kind: 'token'; readonly tokenSha256: string }
    /** A pod, which has the labels of its host. */
    | { readonly kind: 'host'; readonly labels: Labels }
}

/** Within a transaction: the new node with its AK; its token, if any, is spent. */
export async function insertNode(tx: Kysely<Database>, at: string, e: Enrolment): Promise<NodeRecord> {
  const token = e.admission.kind === 'token' ? await spendToken(tx, e.admission.tokenSha256, e.nodeId, at) : undefined
  const admittedBy: AdmittedBy | null = e.admission.kind === 'pending' ? null : e.admission.kind
  const labels = e.admission.kind === 'host' ? e.admission.labels : (token ?? {})
  await tx
    .insertInto('nodes')
    .values({
      node_id: e.nodeId,
      ek_public: blob(e.ekPublic),
      ek_certificate_sha256: e.ekCertificateSha256 ?? null,
      endorsement: await endorsementColumn(tx, at, e.endorsement),
      ...akColumns(e.ak),
      admission: admittedBy === null ? 'pending' : 'admitted',
      admitted_by: admittedBy,
      labels: JSON.stringify(labels),
      attributes: JSON.stringify(e.attributes),
      tier: 'none',
      quarantine: null,
      standing: 'pending',
      standing_since: at,
      standing_reasons: '[]',
      state: null,
      machine: null,
      generation: 1,
      created_at: at,
      updated_at: at,
    })
    .execute()
  if (admittedBy === null) await recordArrival(tx, at, e.nodeId)
  return await theNode(tx, e.nodeId)
}

/**
 * Within a transaction: a known node without an AK gets this one.
 *
 * @throws StoreError STORE_CONFLICT when it has one
 */
export async function updateAk(
  tx: Kysely<Database>,
  at: string,
  nodeId: string,
  ak: BoundAk,
  endorsed: Endorsed | undefined,
): Promise<NodeRecord> {
  const endorsement = await endorsementColumn(tx, at, endorsed)
  const done = await tx
    .updateTable('nodes')
    .set((eb) => ({
      ...akColumns(ak),
      endorsement,
      state: null,
      generation: eb('generation', '+', 1),
      updated_at: at,
    }))
    .where('node_id', '=', nodeId)
    .where('ak_name', 'is', null)
    .executeTakeFirst()
  if (done.numUpdatedRows !== 1n) {
    throw new StoreError('STORE_CONFLICT', `node ${nodeId} has an attestation key already`)
  }
  return await theNode(tx, nodeId)
}

/**
 * Within a transaction: a node's AK is exchanged for another one of its EK. What is known of the node stays, and with
 * it what stands against it; that it has another AK is part of it until the next quote.
 *
 * @throws StoreError STORE_CONFLICT when its AK is not `oldAkName`
 */
export async function exchangeAk(
  tx: Kysely<Database>,
  at: string,
  nodeId: string,
  ak: BoundAk,
  oldAkName: string,
  endorsed: Endorsed,
): Promise<NodeRecord> {
  const endorsement = await endorsementColumn(tx, at, endorsed)
  const taken = await tx
    .updateTable('nodes')
    .set((eb) => ({ ak_public: null, ak_name: null, ak_certificate: null, generation: eb('generation', '+', 1) }))
    .where('node_id', '=', nodeId)
    .where('ak_name', '=', oldAkName)
    .returning('state')
    .executeTakeFirst()
  if (taken === undefined) throw new StoreError('STORE_CONFLICT', `the attestation key of node ${nodeId} was changed`)
  const state = taken.state === null ? null : serialiseNodeState(withAnotherAk(parseNodeState(taken.state)))
  await tx
    .updateTable('nodes')
    .set({ ...akColumns(ak), endorsement, state, updated_at: at })
    .where('node_id', '=', nodeId)
    .execute()
  const detail = JSON.stringify({ from: oldAkName, to: ak.name })
  await tx
    .insertInto('operator_acts')
    .values({ at, operator: 'verifier', act: 'replace-ak', node_id: nodeId, detail })
    .execute()
  return await theNode(tx, nodeId)
}

/**
 * Within a transaction: a pending node is admitted and its token spent.
 *
 * @throws StoreError STORE_CONFLICT when the token is not good or the node not pending
 */
export async function redeemToken(
  tx: Kysely<Database>,
  at: string,
  nodeId: string,
  tokenSha256: string,
): Promise<NodeRecord> {
  const labels = await spendToken(tx, tokenSha256, nodeId, at)
  const done = await tx
    .updateTable('nodes')
    .set((eb) => ({
      admission: 'admitted',
      admitted_by: 'token',
      labels: JSON.stringify(labels),
      generation: eb('generation', '+', 1),
      updated_at: at,
    }))
    .where('node_id', '=', nodeId)
    .where('admission', '=', 'pending')
    .executeTakeFirst()
  if (done.numUpdatedRows !== 1n) throw new StoreError('STORE_CONFLICT', `node ${nodeId} is not pending`)
  return await theNode(tx, nodeId)
}

async function endorsementColumn(
  tx: Kysely<Database>,
  at: string,
  endorsed: Endorsed | undefined,
): Promise<string | null> {
  for (const certificate of endorsed?.certificates ?? []) await recordEvidence(tx, at, certificate)
  return endorsed === undefined ? null : JSON.stringify(endorsed.record)
}

function akColumns(ak: BoundAk): { ak_public: Buffer; ak_name: string; ak_certificate: Buffer } {
  return { ak_public: blob(ak.public), ak_name: ak.name, ak_certificate: blob(ak.certificate) }
}

async function theNode(tx: Kysely<Database>, nodeId: string): Promise<NodeRecord> {
  return nodeFromRow(await tx.selectFrom('nodes').selectAll().where('node_id', '=', nodeId).executeTakeFirstOrThrow())
}

/** @returns the labels that the token gives to its node */
async function spendToken(tx: Kysely<Database>, tokenSha256: string, nodeId: string, at: string): Promise<Labels> {
  const done = await tx
    .updateTable('enrolment_tokens')
    .set({ used_at: at, used_by: nodeId })
    .where('token_sha256', '=', tokenSha256)
    .where('used_at', 'is', null)
    .where('expires_at', '>', at)
    .executeTakeFirst()
  if (done.numUpdatedRows !== 1n) {
    throw new StoreError(
      'STORE_CONFLICT',
      'the enrolment token is unknown, used or expired; make one with: holdfast tokens create',
    )
  }
  const row = await tx
    .selectFrom('enrolment_tokens')
    .select('labels')
    .where('token_sha256', '=', tokenSha256)
    .executeTakeFirstOrThrow()
  return JSON.parse(row.labels)
}
