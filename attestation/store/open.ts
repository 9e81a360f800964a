import { closeSync, existsSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import Sqlite from 'better-sqlite3'
import { Kysely, Migrator, type SqliteDatabase, SqliteDialect, sql } from 'kysely'
import { asStoreError, StoreError } from './errors.ts'
import { migrationProvider } from './migrations.ts'
import type { Database } from './schema.ts'

/** Another process commits a row or two; whoever holds the lock longer than this is stuck. */
const BUSY_TIMEOUT_MS = 2000
const MAX_STATEMENTS = 200

/** An open store file. `sqlite` is there for what has no SQL: data_version and closing. */
export interface OpenStore {
  readonly file: string
  readonly db: Kysely<Database>
  readonly sqlite: Sqlite.Database
  /** Ends the verifier's claim to be the only one, where there is one. */
  readonly release: () => void
}

/**
 * Opens or makes a store file (mode 0600) and brings its tables up to date.
 *
 * Every commit is on the disk when it returns (WAL, synchronous=FULL): "authorised" is said only after that.
 *
 * @param file path; its directory exists
 * @param options.exclusive for the verifier: refuses when another verifier has it. Commands of the operator pass false
 * and
 *   work beside a running verifier.
 * @param options.create false for commands that must not make an empty store out of a mistyped path
 * @throws StoreError
 */
export async function openSqlite(
  file: string,
  options: { readonly exclusive: boolean; readonly create: boolean },
): Promise<OpenStore> {
  let sqlite: Sqlite.Database | undefined
  let owner: Sqlite.Database | undefined
  try {
    if (!existsSync(dirname(file))) {
      throw new StoreError('STORE_UNAVAILABLE', `${dirname(file)}: no such directory; make it, or correct the path`)
    }
    if (!existsSync(file)) {
      if (!options.create) {
        throw new StoreError(
          'STORE_UNAVAILABLE',
          `${file}: no store here; start the verifier once, or correct the path`,
        )
      }
      closeSync(openSync(file, 'a', 0o600)) // SQLite would make it by the umask
    }
    if (options.exclusive) owner = claim(file)
    sqlite = new Sqlite(file, { timeout: BUSY_TIMEOUT_MS })
    sqlite.pragma('journal_mode = WAL')
    sqlite.pragma('synchronous = FULL')
    sqlite.pragma('foreign_keys = ON')
    const db = new Kysely<Database>({ dialect: new SqliteDialect({ database: keepingStatements(sqlite) }) })
    await migrate(db, file)
    const held = owner
    return { file, db, sqlite, release: () => held?.close() }
  } catch (err) {
    sqlite?.close()
    owner?.close()
    throw asStoreError(err, file)
  }
}

/**
 * Kysely prepares each query anew, which costs as much as running it. Queries here are of a fixed set, so they are
 * kept.
 */
function keepingStatements(sqlite: Sqlite.Database): SqliteDatabase {
  const kept = new Map<string, Sqlite.Statement>()
  return {
    prepare: (query) => {
      const known = kept.get(query)
      if (known !== undefined) return known
      const statement = sqlite.prepare(query)
      if (kept.size < MAX_STATEMENTS) kept.set(query, statement)
      return statement
    },
    close: () => {
      sqlite.close()
    },
  }
}

/**
 * The kernel drops the lock when the process ends, however it ends: no stale lock file. It is a file of its own so that
 * the operator's commands can still write to the store.
 */
function claim(file: string): Sqlite.Database {
  const lockFile = `${file}.owner`
  const lock = new Sqlite(lockFile, { timeout: 0 })
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (err) {
    lock.close()
    const known = asStoreError(err, lockFile)
    if (known instanceof StoreError && known.code === 'STORE_LOCKED') {
      throw new StoreError(
        'STORE_IN_USE',
        `${file}: another verifier is running on this store; end it, or give this one another dataDirectory`,
        { cause: err },
      )
    }
    throw known
  }
}

async function migrate(db: Kysely<Database>, file: string): Promise<void> {
  const { error, results } = await new Migrator({ db, provider: migrationProvider }).migrateToLatest()
  if (error === undefined) return
  if (results === undefined || results.length === 0) {
    const known = asStoreError(error, file)
    if (known instanceof StoreError) throw known
    throw new StoreError(
      'STORE_VERSION',
      `${file}: made by a later release of Holdfast; run that one, or put back a copy`,
      {
        cause: error,
      },
    )
  }
  throw error
}

/**
 * Runs `work` as one transaction that takes the write lock first: a read that is followed by a write then never meets a
 * snapshot gone stale.
 */
export async function inTransaction<T>(store: OpenStore, work: (tx: Kysely<Database>) => Promise<T>): Promise<T> {
  try {
    return await store.db.connection().execute(async (connection) => {
      await sql`begin immediate`.execute(connection)
      try {
        const result = await work(connection)
        await sql`commit`.execute(connection)
        return result
      } catch (err) {
        if (store.sqlite.inTransaction) await sql`rollback`.execute(connection) // a full disk has rolled back already
        throw err
      }
    })
  } catch (err) {
    throw asStoreError(err, store.file)
  }
}
