import { closeSync, existsSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import Sqlite from 'better-sqlite3'
import { Kysely, type SqliteDatabase, SqliteDialect, sql } from 'kysely'
import { codeOf, messageOf } from '../base/index.ts'
import type { Engine, Isolation } from './engine.ts'
import { StoreError, type StoreErrorCode } from './errors.ts'
import { migrate } from './migrate.ts'
import type { Database } from './schema.ts'

/** Another process commits a row or two; whoever holds the lock longer than this is stuck. */
const BUSY_TIMEOUT_MS = 2000
const MAX_STATEMENTS = 200

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
): Promise<Engine> {
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
          `${file}: no store here; start the verifier once, correct the path, or set DATABASE_URL as the verifier has it`,
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
    return new SqliteEngine(file, db, sqlite, owner)
  } catch (err) {
    sqlite?.close()
    owner?.close()
    throw asStoreError(err, file)
  }
}

class SqliteEngine implements Engine {
  readonly name: string
  readonly shared = false
  readonly db: Kysely<Database>
  readonly #sqlite: Sqlite.Database
  /** Holds the verifier's claim to be the only one, where there is one. */
  readonly #owner: Sqlite.Database | undefined

  constructor(name: string, db: Kysely<Database>, sqlite: Sqlite.Database, owner: Sqlite.Database | undefined) {
    this.name = name
    this.db = db
    this.#sqlite = sqlite
    this.#owner = owner
  }

  /**
   * Takes the write lock first, whatever the isolation: a read that is followed by a write then never meets a snapshot
   * gone stale.
   */
  async transaction<T>(_: Isolation, work: (tx: Kysely<Database>) => Promise<T>): Promise<T> {
    try {
      return await this.db.connection().execute(async (connection) => {
        await sql`begin immediate`.execute(connection)
        try {
          const result = await work(connection)
          await sql`commit`.execute(connection)
          return result
        } catch (err) {
          if (this.#sqlite.inTransaction) await sql`rollback`.execute(connection) // a full disk has rolled back already
          throw err
        }
      })
    } catch (err) {
      throw this.asStoreError(err)
    }
  }

  async dataVersion(): Promise<number> {
    return Number(this.#sqlite.pragma('data_version', { simple: true }))
  }

  asStoreError(err: unknown): unknown {
    return asStoreError(err, this.name)
  }

  async close(): Promise<void> {
    try {
      await this.db.destroy()
    } finally {
      this.#owner?.close()
    }
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

/**
 * Names what SQLite or the file system said, and what to do about it.
 */
function asStoreError(err: unknown, file: string): unknown {
  if (err instanceof StoreError) return err
  const code = codeOf(err) ?? ''
  const make = (kind: StoreErrorCode, what: string): StoreError =>
    new StoreError(kind, `${file}: ${what} (${messageOf(err)})`, { cause: err })
  if (code === 'SQLITE_FULL' || code === 'ENOSPC' || code === 'EDQUOT') {
    return make('STORE_FULL', 'no room left; free space on this file system, the verifier goes on by itself')
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return make('STORE_LOCKED', 'another program holds the write lock; end it or try again')
  }
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return make('STORE_CORRUPT', 'damaged, or not a store; put back a copy, or move the file away and enrol again')
  }
  if (code.startsWith('SQLITE_CONSTRAINT')) return make('STORE_CONFLICT', 'refused by a rule of the store')
  if (code.startsWith('SQLITE_') || code.startsWith('E')) {
    return make('STORE_UNAVAILABLE', 'cannot be used; check path, owner and file system')
  }
  return err
}
