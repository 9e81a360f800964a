import type { Kysely } from 'kysely'
import { asStoreError, StoreError } from './errors.ts'
import { inTransaction, type OpenStore, openSqlite } from './open.ts'
import type { AdmittedBy, BoundAk, DecisionRecord, EvidenceItem, Labels, NodeRecord, VerdictChange } from './records.ts'
import { nodeFromRow } from './records.ts'
import type { Database } from './schema.ts'

/** A node that has just proved EK and AK. */
export interface Enrolment {
  readonly nodeId: string
  readonly ekPublic: Uint8Array
  readonly ekCertificateSha256?: string
  readonly ak: BoundAk
  readonly attributes: Labels
  readonly admission:
    | { readonly kind: 'pending' }
    | { readonly kind: 'listed' }
    | { readonly kind: 'token'; readonly tokenSha256: string }
}

/** What one appraisal leaves behind. */
export interface ResultRecord {
  readonly nodeId: string
  /** Of the record that the appraisal began with. */
  readonly generation: number
  readonly state: string
  readonly change?: VerdictChange
  readonly evidence: EvidenceItem
}

/**
 * The verifier's memory. Each method that writes returns after its commit is on the disk, and changes nothing when it throws.
 */
export class Store {
  readonly #open: OpenStore
  readonly #now: () => Date

  constructor(open: OpenStore, now: () => Date) {
    this.#open = open
    this.#now = now
  }

  /** The path, for messages. */
  get file(): string {
    return this.#open.file
  }

  /** Grows whenever another process has changed the file. Cheap enough to ask many times a second. */
  dataVersion(): number {
    return Number(this.#open.sqlite.pragma('data_version', { simple: true }))
  }

  async node(nodeId: string): Promise<NodeRecord | undefined> {
    const row = await this.#read((db) =>
      db.selectFrom('nodes').selectAll().where('node_id', '=', nodeId).executeTakeFirst(),
    )
    return row && nodeFromRow(row)
  }

  /** The node, if any, that this AK is bound to. */
  async nodeOfAk(akName: string): Promise<string | undefined> {
    const row = await this.#read((db) =>
      db.selectFrom('nodes').select('node_id').where('ak_name', '=', akName).executeTakeFirst(),
    )
    return row?.node_id
  }

  /** All nodes, oldest first. */
  async nodes(): Promise<NodeRecord[]> {
    const rows = await this.#read((db) =>
      db.selectFrom('nodes').selectAll().orderBy('created_at').orderBy('node_id').execute(),
    )
    return rows.map(nodeFromRow)
  }

  async decisions(nodeId: string, limit: number): Promise<StoredDecision[]> {
    const rows = await this.#read((db) =>
      db
        .selectFrom('decisions')
        .select([
          'at',
          'pod_uuid',
          'outcome',
          'code',
          'reasons',
          'policy_revision',
          'ticket_id',
          'tier',
          'evidence_sha256',
        ])
        .where('node_id', '=', nodeId)
        .orderBy('id', 'desc')
        .limit(limit)
        .execute(),
    )
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
  async verdicts(nodeId: string, limit: number): Promise<StoredVerdict[]> {
    const rows = await this.#read((db) =>
      db
        .selectFrom('verdicts')
        .select(['at', 'tier', 'findings', 'evidence_sha256'])
        .where('node_id', '=', nodeId)
        .orderBy('id', 'desc')
        .limit(limit)
        .execute(),
    )
    return rows.map((row) => ({
      at: row.at,
      tier: row.tier,
      findings: JSON.parse(row.findings),
      ...(row.evidence_sha256 !== null && { evidenceSha256: row.evidence_sha256 }),
    }))
  }

  async evidence(sha256: string): Promise<Uint8Array | undefined> {
    const row = await this.#read((db) =>
      db.selectFrom('evidence').select('bytes').where('sha256', '=', sha256).executeTakeFirst(),
    )
    return row && new Uint8Array(row.bytes)
  }

  /** The whole history of a node's first contact ends here: node and AK are bound, the token is spent, or nothing is. */
  async enrol(e: Enrolment): Promise<NodeRecord> {
    return await this.#write(async (tx, at) => {
      const token =
        e.admission.kind === 'token' ? await spendToken(tx, e.admission.tokenSha256, e.nodeId, at) : undefined
      const admittedBy: AdmittedBy | null =
        e.admission.kind === 'token' ? 'token' : e.admission.kind === 'listed' ? 'listed' : null
      await tx
        .insertInto('nodes')
        .values({
          node_id: e.nodeId,
          ek_public: bytes(e.ekPublic),
          ek_certificate_sha256: e.ekCertificateSha256 ?? null,
          ...akColumns(e.ak),
          admission: admittedBy === null ? 'pending' : 'admitted',
          admitted_by: admittedBy,
          labels: JSON.stringify(token ?? {}),
          attributes: JSON.stringify(e.attributes),
          tier: 'none',
          quarantine: null,
          state: null,
          generation: 1,
          created_at: at,
          updated_at: at,
        })
        .execute()
      return await theNode(tx, e.nodeId)
    })
  }

  /** Binds an AK to a known node that has none: after `nodes rebind`. Its history starts anew. */
  async bindAk(nodeId: string, ak: BoundAk): Promise<NodeRecord> {
    return await this.#write(async (tx, at) => {
      const done = await tx
        .updateTable('nodes')
        .set((eb) => ({ ...akColumns(ak), state: null, generation: eb('generation', '+', 1), updated_at: at }))
        .where('node_id', '=', nodeId)
        .where('ak_name', 'is', null)
        .executeTakeFirst()
      if (done.numUpdatedRows !== 1n) {
        throw new StoreError('STORE_CONFLICT', `node ${nodeId} has an attestation key already`)
      }
      return await theNode(tx, nodeId)
    })
  }

  /** Admits a pending node with its one-time token. */
  async admitByToken(nodeId: string, tokenSha256: string): Promise<NodeRecord> {
    return await this.#write(async (tx, at) => {
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
    })
  }

  /** Keeps what an appraisal learned; a change of verdict is kept with its evidence. */
  async saveResult(result: ResultRecord): Promise<void> {
    await this.#write(async (tx, at) => {
      await saveState(tx, at, result)
    })
  }

  /** A node that has said nothing for too long, or left a ticket in the open: no evidence, only a verdict. */
  async saveVerdict(
    nodeId: string,
    generation: number,
    change: VerdictChange,
    state: string | undefined,
  ): Promise<void> {
    await this.#write(async (tx, at) => {
      await updateNode(tx, at, { nodeId, generation, change, state })
      await tx
        .insertInto('verdicts')
        .values({ at, node_id: nodeId, tier: change.tier, findings: change.findings, evidence_sha256: null })
        .execute()
    })
  }

  /**
   * Commits a decision with its evidence and the node's new state, all or nothing.
   *
   * @throws StoreError STORE_CONFLICT when an operator has acted on the node in between, or when it allows a launch of a node
   *   that is not admitted or is in quarantine: then nothing is authorised
   */
  async saveDecision(d: DecisionRecord, result: ResultRecord): Promise<void> {
    await this.#write(async (tx, at) => {
      if (d.outcome === 'allowed') {
        const fit = await tx
          .selectFrom('nodes')
          .select('node_id')
          .where('node_id', '=', d.nodeId)
          .where('admission', '=', 'admitted')
          .where('quarantine', 'is', null)
          .executeTakeFirst()
        if (!fit) throw new StoreError('STORE_CONFLICT', `node ${d.nodeId} is not admitted, or is in quarantine`)
      }
      await saveState(tx, at, result)
      await saveEvidence(tx, at, result.evidence)
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
          request: bytes(d.request),
          evidence_sha256: result.evidence.sha256,
        })
        .execute()
    })
  }

  /** Keeps bytes by their digest; what is there already stays. */
  async saveEvidence(item: EvidenceItem): Promise<void> {
    await this.#write(async (tx, at) => await saveEvidence(tx, at, item))
  }

  /**
   * Ties the file to the verifier's identity on first use.
   *
   * @throws StoreError STORE_CONFLICT when the file belongs to another ticket key
   */
  async claimFor(verifierId: string): Promise<void> {
    await this.#write(async (tx) => {
      const had = await tx.selectFrom('settings').select('value').where('name', '=', 'verifier-id').executeTakeFirst()
      if (had && had.value !== verifierId) {
        throw new StoreError(
          'STORE_CONFLICT',
          `${this.file} belongs to verifier ${had.value}, the ticket key here is that of ${verifierId}; put the right ticket key beside it`,
        )
      }
      if (!had) await tx.insertInto('settings').values({ name: 'verifier-id', value: verifierId }).execute()
    })
  }

  /** Lets go of the file. */
  async close(): Promise<void> {
    try {
      await this.#open.db.destroy()
    } finally {
      this.#open.release()
    }
  }

  /** For the operator's acts in this folder. */
  async transact<T>(work: (tx: Kysely<Database>, at: string) => Promise<T>): Promise<T> {
    return await this.#write(work)
  }

  async #read<T>(query: (db: Kysely<Database>) => Promise<T>): Promise<T> {
    try {
      return await query(this.#open.db)
    } catch (err) {
      throw asStoreError(err, this.file)
    }
  }

  async #write<T>(work: (tx: Kysely<Database>, at: string) => Promise<T>): Promise<T> {
    return await inTransaction(this.#open, async (tx) => await work(tx, this.#now().toISOString()))
  }
}

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

export interface StoredVerdict {
  readonly at: string
  readonly tier: string
  readonly findings: unknown
  readonly evidenceSha256?: string
}

/**
 * Opens the store at `file`. See openSqlite for the options.
 *
 * @throws StoreError
 */
export async function openStore(
  file: string,
  options: { readonly exclusive: boolean; readonly create: boolean; readonly now?: () => Date },
): Promise<Store> {
  return new Store(await openSqlite(file, options), options.now ?? (() => new Date()))
}

/** better-sqlite3 binds Buffers as blobs; the view shares the bytes. */
function bytes(b: Uint8Array): Buffer {
  return Buffer.from(b.buffer, b.byteOffset, b.byteLength)
}

function akColumns(ak: BoundAk): { ak_public: Buffer; ak_name: string; ak_certificate: Buffer } {
  return { ak_public: bytes(ak.public), ak_name: ak.name, ak_certificate: bytes(ak.certificate) }
}

async function theNode(tx: Kysely<Database>, nodeId: string): Promise<NodeRecord> {
  return nodeFromRow(await tx.selectFrom('nodes').selectAll().where('node_id', '=', nodeId).executeTakeFirstOrThrow())
}

async function saveState(tx: Kysely<Database>, at: string, r: ResultRecord): Promise<void> {
  await updateNode(tx, at, r)
  if (!r.change) return
  await saveEvidence(tx, at, r.evidence)
  await tx
    .insertInto('verdicts')
    .values({
      at,
      node_id: r.nodeId,
      tier: r.change.tier,
      findings: r.change.findings,
      evidence_sha256: r.evidence.sha256,
    })
    .execute()
}

async function updateNode(
  tx: Kysely<Database>,
  at: string,
  r: Pick<ResultRecord, 'nodeId' | 'generation'> & {
    readonly change?: VerdictChange | undefined
    readonly state: string | undefined
  },
): Promise<void> {
  const done = await tx
    .updateTable('nodes')
    .set({
      updated_at: at,
      ...(r.state !== undefined && { state: r.state }),
      ...(r.change && { tier: r.change.tier }),
      ...(r.change?.quarantine !== undefined && { quarantine: r.change.quarantine }),
    })
    .where('node_id', '=', r.nodeId)
    .where('generation', '=', r.generation)
    .executeTakeFirst()
  if (done.numUpdatedRows !== 1n) {
    throw new StoreError('STORE_CONFLICT', `an operator has acted on node ${r.nodeId} in between`)
  }
}

async function saveEvidence(tx: Kysely<Database>, at: string, item: EvidenceItem): Promise<void> {
  await tx
    .insertInto('evidence')
    .values({ sha256: item.sha256, kind: item.kind, at, bytes: bytes(item.bytes) })
    .onConflict((oc) => oc.column('sha256').doNothing())
    .execute()
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
