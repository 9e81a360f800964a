import type { Kysely } from 'kysely'
import type { Engine, Isolation } from './engine.ts'
import { type Endorsed, type Enrolment, exchangeAk, insertNode, redeemToken, updateAk } from './enrolment.ts'
import { StoreError } from './errors.ts'
import { readDecisions, readVerdicts, type StoredDecision, type StoredVerdict } from './history.ts'
import { eventCursor, moveEventCursor, type NodeEvent, readNodeEvents } from './node-events.ts'
import { type PodTpm, readPodTpm } from './pod-tpms.ts'
import {
  type BoundAk,
  type DecisionRecord,
  type EvidenceItem,
  type NodeRecord,
  type NodeVersion,
  nodeFromRow,
  type VerdictChange,
} from './records.ts'
import { type ResultRecord, recordDecision, recordEvidence, recordResult, recordVerdict } from './results.ts'
import type { Database } from './schema.ts'
import { openSqlite } from './sqlite.ts'

/**
 * The verifier's memory. Each method that writes returns after its commit is on the disk, and changes nothing when it
 * throws.
 */
export class Store {
  readonly #engine: Engine
  readonly #now: () => Date

  constructor(engine: Engine, now: () => Date) {
    this.#engine = engine
    this.#now = now
  }

  /** Path of the file, or host and database: for messages. */
  get name(): string {
    return this.#engine.name
  }

  /** Whether other verifiers may work on it at the same time. */
  get shared(): boolean {
    return this.#engine.shared
  }

  /** Another number whenever an operator has acted elsewhere. Cheap enough to ask many times a second. */
  async dataVersion(): Promise<number> {
    try {
      return await this.#engine.dataVersion()
    } catch (err) {
      throw this.#engine.asStoreError(err)
    }
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

  /** Whose TPM this is, if a pod was allowed with it. */
  async podTpm(nodeId: string): Promise<PodTpm | undefined> {
    return await this.#read((db) => readPodTpm(db, nodeId))
  }

  /** All nodes, oldest first. */
  async nodes(): Promise<NodeRecord[]> {
    const rows = await this.#read((db) =>
      db.selectFrom('nodes').selectAll().orderBy('created_at').orderBy('node_id').execute(),
    )
    return rows.map(nodeFromRow)
  }

  /** Launch decisions, newest first. */
  async decisions(nodeId: string, limit: number): Promise<StoredDecision[]> {
    return await this.#read((db) => readDecisions(db, nodeId, limit))
  }

  /** Changes of tier, newest first. */
  async verdicts(nodeId: string, limit: number): Promise<StoredVerdict[]> {
    return await this.#read((db) => readVerdicts(db, nodeId, limit))
  }

  /** Changes of standing that the receiver has not acknowledged, oldest first. */
  async unacknowledged(receiver: string, limit: number): Promise<NodeEvent[]> {
    return await this.#write(async (tx) => await readNodeEvents(tx, await eventCursor(tx, receiver), limit))
  }

  /** The receiver has all events up to this one. */
  async acknowledge(receiver: string, eventId: number): Promise<void> {
    await this.#write(async (tx, at) => await moveEventCursor(tx, at, receiver, eventId))
  }

  async evidence(sha256: string): Promise<Uint8Array | undefined> {
    const row = await this.#read((db) =>
      db.selectFrom('evidence').select('bytes').where('sha256', '=', sha256).executeTakeFirst(),
    )
    return row && new Uint8Array(row.bytes)
  }

  /**
   * The whole history of a node's first contact ends here: node and AK are bound, the token is spent, or nothing is.
   */
  async enrol(e: Enrolment): Promise<NodeRecord> {
    return await this.#write((tx, at) => insertNode(tx, at, e))
  }

  /** Binds an AK to a known node that has none: after `nodes rebind`. Its history starts anew. */
  async bindAk(nodeId: string, ak: BoundAk, endorsed?: Endorsed): Promise<NodeRecord> {
    return await this.#write((tx, at) => updateAk(tx, at, nodeId, ak, endorsed))
  }

  /**
   * Binds another AK of the same EK to a node in place of the one it had, if that is still this one. Its history goes
   * on.
   */
  async replaceAk(nodeId: string, ak: BoundAk, oldAkName: string, endorsed: Endorsed): Promise<NodeRecord> {
    return await this.#write((tx, at) => exchangeAk(tx, at, nodeId, ak, oldAkName, endorsed))
  }

  /** Admits a pending node with its one-time token. */
  async admitByToken(nodeId: string, tokenSha256: string): Promise<NodeRecord> {
    return await this.#write((tx, at) => redeemToken(tx, at, nodeId, tokenSha256))
  }

  /** Keeps what an appraisal learned; a change of verdict is kept with its evidence. */
  async saveResult(result: ResultRecord): Promise<void> {
    await this.#write((tx, at) => recordResult(tx, at, result), 'guarded')
  }

  /** A node that has said nothing for too long, or left a ticket in the open: no evidence, only a verdict. */
  async saveVerdict(node: NodeVersion, change: VerdictChange, state: string | undefined): Promise<void> {
    await this.#write((tx, at) => recordVerdict(tx, at, node, change, state), 'guarded')
  }

  /** Nodes whose last verdict is good, at the version that they have now. */
  async trustedNodes(): Promise<NodeVersion[]> {
    const rows = await this.#read((db) =>
      db
        .selectFrom('nodes')
        .select(['node_id', 'generation', 'revision'])
        .where('tier', 'in', ['affirming', 'warning'])
        .execute(),
    )
    return rows.map(({ node_id, ...version }) => ({ nodeId: node_id, ...version }))
  }

  /**
   * Commits a decision with its evidence and the node's new state, all or nothing.
   *
   * @throws StoreError STORE_CONFLICT when an operator or another verifier has changed the node in between, or when it allows a launch of
   * a node
   *   that is not admitted or is in quarantine: then nothing is authorised
   */
  async saveDecision(d: DecisionRecord, result: ResultRecord): Promise<void> {
    await this.#write((tx, at) => recordDecision(tx, at, d, result))
  }

  /** Keeps bytes by their digest; what is there already stays. */
  async saveEvidence(item: EvidenceItem): Promise<void> {
    await this.#write((tx, at) => recordEvidence(tx, at, item))
  }

  /**
   * Ties the store to the verifier's identity on first use.
   *
   * @throws StoreError STORE_CONFLICT when the store belongs to another ticket key
   */
  async claimFor(verifierId: string): Promise<void> {
    await this.#write(async (tx) => {
      const had = await tx.selectFrom('settings').select('value').where('name', '=', 'verifier-id').executeTakeFirst()
      if (had && had.value !== verifierId) {
        throw new StoreError(
          'STORE_CONFLICT',
          `${this.name} belongs to verifier ${had.value}, the ticket key here is that of ${verifierId}; put the right ticket key beside it`,
        )
      }
      if (!had) await tx.insertInto('settings').values({ name: 'verifier-id', value: verifierId }).execute()
    })
  }

  /** Lets go of the database. */
  async close(): Promise<void> {
    await this.#engine.close()
  }

  /** For the operator's acts in this folder. */
  async transact<T>(work: (tx: Kysely<Database>, at: string) => Promise<T>): Promise<T> {
    return await this.#write(work)
  }

  /** For the questions of the API in this folder; they only read. */
  async query<T>(question: (db: Kysely<Database>) => Promise<T>): Promise<T> {
    return await this.#read(question)
  }

  async #read<T>(query: (db: Kysely<Database>) => Promise<T>): Promise<T> {
    try {
      return await query(this.#engine.db)
    } catch (err) {
      throw this.#engine.asStoreError(err)
    }
  }

  async #write<T>(
    work: (tx: Kysely<Database>, at: string) => Promise<T>,
    isolation: Isolation = 'serializable',
  ): Promise<T> {
    return await this.#engine.transaction(isolation, async (tx) => await work(tx, this.#now().toISOString()))
  }
}

/**
 * Opens a store: `postgres://…` is a database that several verifiers share, anything else the path of an SQLite file.
 *
 * @param options.exclusive for the verifier: no other one may work on the same file. Commands of the operator pass
 *   false and work beside a running verifier.
 * @param options.create false for commands that must not make an empty store out of a mistyped name
 * @throws StoreError
 */
export async function openStore(
  place: string,
  options: { readonly exclusive: boolean; readonly create: boolean; readonly now?: () => Date },
): Promise<Store> {
  const engine = /^postgres(ql)?:/.test(place) ? await connect(place, options) : await openSqlite(place, options)
  return new Store(engine, options.now ?? (() => new Date()))
}

async function connect(url: string, options: { readonly create: boolean }): Promise<Engine> {
  const { openPostgres } = await import('./postgres.ts') // its library is for those who use it
  return await openPostgres(url, options)
}
