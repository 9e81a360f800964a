import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { codeOf, messageOf } from '../base/index.ts'
import type { Engine, Isolation } from './engine.ts'
import { StoreError, type StoreErrorCode } from './errors.ts'
import { migrate } from './migrate.ts'
import type { Database } from './schema.ts'

/** More would wait for each other at the disk of the server. */
const POOL_SIZE = 8
const CONNECT_TIMEOUT_MS = 5000
/** A statement of ours takes milliseconds; one that takes longer than this meets a stuck server. */
const STATEMENT_TIMEOUT_MS = 20_000
/** Another verifier commits a row or two; whoever holds a lock longer than this is stuck. */
const LOCK_TIMEOUT_MS = 2000
/** A verifier that has lost its machine in the middle of a transaction keeps nobody waiting for longer. */
const IDLE_TRANSACTION_TIMEOUT_MS = 5000
/** Each time another transaction got through, so that many in a row mean many verifiers at one node. */
const MAX_ATTEMPTS = 8
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/

/** Identifiers and counts are below 2^53: the sequence would take ages to get there. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format as 'text'),
}

/**
 * Opens the store in a PostgreSQL database that is there already, and brings its tables up to date. Any number of
 * verifiers may do so.
 *
 * @param url `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=FILE`; what is absent comes
 *   from libpq's environment variables. It is in no message: it may hold a password
 * @throws StoreError
 */
export async function openPostgres(url: string, options: { readonly create: boolean }): Promise<Engine> {
  const { name, host, tls } = describe(url)
  if (!tls && !host.startsWith('/') && !LOOPBACK.test(host)) {
    const remedy = 'add ?sslmode=verify-full&sslrootcert=FILE to its URL'
    throw new StoreError(
      'STORE_UNAVAILABLE',
      `${name}: the database of another machine is spoken to by verified TLS only; ${remedy}`,
    )
  }
  const pool = new pg.Pool({
    connectionString: url,
    types,
    max: POOL_SIZE,
    keepAlive: true,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS + 1000,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_TRANSACTION_TIMEOUT_MS,
    application_name: 'holdfast-verifier',
    options: '-c synchronous_commit=on -c search_path=public',
  })
  // whoever asks on a connection that is cut hears of it as the answer; as an event of nobody's it would end the process
  pool.on('connect', (client) => client.on('error', () => {}))
  pool.on('error', () => {})
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) })
  try {
    if (!options.create && !(await hasTables(db))) {
      throw new StoreError('STORE_UNAVAILABLE', `${name}: no store here; start the verifier once, or correct the URL`)
    }
    await migrate(db, name)
    return new PostgresEngine(name, db)
  } catch (err) {
    await db.destroy()
    throw asStoreError(err, name)
  }
}

/** @throws StoreError STORE_UNAVAILABLE, without what a mistyped URL held */
function describe(url: string): { readonly name: string; readonly host: string; readonly tls: boolean } {
  try {
    // nothing is connected: pg reads URL and environment by its own rules, which are the ones that count
    const client = new pg.Client({ connectionString: url })
    const { host, port, database = '' } = client
    const place = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
    const verifies = client.ssl !== false && new URL(url).searchParams.get('sslmode') === 'verify-full'
    return { name: `postgres://${place}/${database}`, host, tls: verifies }
  } catch (err) {
    const why = codeOf(err) === 'ENOENT' ? 'names a file that is not there' : 'cannot be read'
    const form = 'postgres://USER@HOST/DATABASE?sslmode=verify-full&sslrootcert=FILE'
    throw new StoreError('STORE_UNAVAILABLE', `the URL of the database ${why}; it is ${form}`)
  }
}

async function hasTables(db: Kysely<Database>): Promise<boolean> {
  return (await db.introspection.getTables()).some(({ name }) => name === 'nodes')
}

class PostgresEngine implements Engine {
  readonly shared = true

  readonly name: string
  readonly db: Kysely<Database>

  constructor(name: string, db: Kysely<Database>) {
    this.name = name
    this.db = db
  }

  async transaction<T>(isolation: Isolation, work: (tx: Kysely<Database>) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.db
          .transaction()
          .setIsolationLevel(isolation === 'serializable' ? 'serializable' : 'read committed')
          .execute(work)
      } catch (err) {
        if (attempt === MAX_ATTEMPTS || !metAnother(err)) throw this.asStoreError(err)
      }
    }
  }

  /** What operators do is kept in order, so that its last number tells. */
  async dataVersion(): Promise<number> {
    const row = await this.db
      .selectFrom('operator_acts')
      .select((eb) => eb.fn.max('id').as('id'))
      .executeTakeFirst()
    return row?.id ?? 0
  }

  asStoreError(err: unknown): unknown {
    return asStoreError(err, this.name)
  }

  async close(): Promise<void> {
    await this.db.destroy()
  }
}

/** Serialization failure and deadlock: the transaction was rolled back and may be tried again. */
function metAnother(err: unknown): boolean {
  return ['40001', '40P01'].includes(codeOf(err) ?? '')
}

/** Classes and codes of PostgreSQL 15, Appendix A. */
function asStoreError(err: unknown, name: string): unknown {
  if (err instanceof StoreError) return err
  const code = codeOf(err) ?? ''
  const make = (kind: StoreErrorCode, what: string): StoreError =>
    new StoreError(kind, `${name}: ${what} (${messageOf(err)})`, { cause: err })
  if (err instanceof pg.DatabaseError) {
    if (code.startsWith('23')) return make('STORE_CONFLICT', 'refused by a rule of the store')
    if (code === '53100')
      return make('STORE_FULL', 'no room left; free space on the server, the verifier goes on by itself')
    if (metAnother(err) || code === '55P03') return make('STORE_LOCKED', 'others hold its locks; try again')
    if (code.startsWith('XX')) return make('STORE_CORRUPT', 'damaged; put back a copy')
    if (code.startsWith('28'))
      return make('STORE_UNAVAILABLE', 'the server lets us not in; check user, password and pg_hba.conf')
    if (code === '3D000') return make('STORE_UNAVAILABLE', 'there is no such database; make it: createdb')
    return make('STORE_UNAVAILABLE', 'cannot be used; look at the log of the server')
  }
  // pg gives its own errors, of connections that end or do not come, no code
  const ofDriver =
    err instanceof Error &&
    /^(Connection terminated|timeout exceeded|Query read timeout|Client has|The server does not)/.test(err.message)
  if (
    ofDriver ||
    code.startsWith('E') ||
    code.startsWith('CERT') ||
    code.includes('SELF_SIGNED') ||
    code.includes('UNABLE_TO')
  ) {
    return make('STORE_UNAVAILABLE', 'cannot be reached; check that it runs, its address and its certificate')
  }
  return err
}
