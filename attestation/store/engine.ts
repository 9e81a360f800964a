import type { Kysely } from 'kysely'
import type { Database } from './schema.ts'

/**
 * How a transaction is kept apart from others that run at the same time.
 *
 * `serializable`: as if it ran alone. `guarded`: its first statement changes the one row that everything else in it
 * depends on, by that row's generation and revision, so that whoever was slower changes nothing.
 */
export type Isolation = 'serializable' | 'guarded'

/** A database that holds the store, and what differs between the kinds of it. */
export interface Engine {
  /** For messages: a path, or host and database, never a password. */
  readonly name: string
  /** Whether other verifiers may work on it at the same time. */
  readonly shared: boolean
  readonly db: Kysely<Database>
  /**
   * Runs `work` as one transaction, and once more when it met another one: it does nothing but ask `tx`. What it wrote
   * is on the disk when this returns.
   *
   * @throws StoreError, and what `work` throws; then nothing was written
   */
  transaction<T>(isolation: Isolation, work: (tx: Kysely<Database>) => Promise<T>): Promise<T>
  /** Another number whenever an operator has acted on the store elsewhere. Cheap enough to ask many times a second. */
  dataVersion(): Promise<number>
  /** Names what the database said, and what to do about it; what is none of its errors comes back as it is. */
  asStoreError(err: unknown): unknown
  close(): Promise<void>
}
