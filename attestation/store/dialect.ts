import { type ColumnDefinitionBuilder, type Kysely, PostgresAdapter, type RawBuilder, sql } from 'kysely'

// What SQLite and PostgreSQL spell differently in the definition of tables.

type Db = Kysely<unknown>

export function dialectOf(db: Db): 'sqlite' | 'postgres' {
  return db.getExecutor().adapter instanceof PostgresAdapter ? 'postgres' : 'sqlite'
}

/** Compared and ordered by its bytes, as SQLite does, and not by the language of the server. */
export function text(db: Db) {
  return dialectOf(db) === 'postgres' ? sql`text collate "C"` : ('text' as const)
}

export function bytes(db: Db) {
  return dialectOf(db) === 'postgres' ? ('bytea' as const) : ('blob' as const)
}

/** A whole number of up to 2^53 - 1. */
export function count(db: Db) {
  return dialectOf(db) === 'postgres' ? ('bigint' as const) : ('integer' as const)
}

/** A key that rises with each row and is never used again; its type, and what `identityKey` adds. */
export function identity(db: Db) {
  return dialectOf(db) === 'postgres' ? ('bigserial' as const) : ('integer' as const)
}

export function identityKey(db: Db) {
  return (c: ColumnDefinitionBuilder): ColumnDefinitionBuilder =>
    dialectOf(db) === 'postgres' ? c.primaryKey() : c.primaryKey().autoIncrement()
}

/** A trigger that refuses changes of a row. */
export interface Refusal {
  readonly name: string
  readonly table: string
  readonly change: 'update' | 'delete'
  /** Of `old` and `new`; always where absent. */
  readonly when?: RawBuilder<unknown>
  readonly why: string
}

export async function refuse(db: Db, { name, table, change, when, why }: Refusal): Promise<void> {
  const head = sql`create trigger ${sql.ref(name)} before ${sql.raw(change)} on ${sql.table(table)}`
  if (dialectOf(db) === 'sqlite') {
    const condition = when === undefined ? sql`` : sql` when ${when}`
    await sql`${head}${condition} begin select raise(abort, ${sql.lit(why)}); end`.execute(db)
    return
  }
  await refusing(db)
  const condition = when === undefined ? sql`` : sql` when (${when})`
  await sql`${head} for each row${condition} execute function holdfast_refuse(${sql.lit(why)})`.execute(db)
}

/** PostgreSQL's own way around triggers on rows. */
export async function refuseTruncate(db: Db, table: string): Promise<void> {
  await refusing(db)
  await sql`create trigger ${sql.ref(`${table}_no_truncate`)} before truncate on ${sql.table(table)}
    for each statement execute function holdfast_refuse(${sql.lit(`${table} is not emptied`)})`.execute(db)
}

async function refusing(db: Db): Promise<void> {
  await sql`create or replace function holdfast_refuse() returns trigger language plpgsql as $$
    begin raise exception using message = tg_argv[0], errcode = 'integrity_constraint_violation'; end $$`.execute(db)
}

/**
 * PostgreSQL hands out keys before it commits: a reader that remembers the last key it has seen would miss a row with a
 * smaller one that is committed later. Whoever adds a row waits for those who did so before to commit; the key is
 * drawn after this trigger.
 */
export async function inOrder(db: Db, table: string): Promise<void> {
  await sql`create or replace function holdfast_in_order() returns trigger language plpgsql as $$
    begin perform pg_advisory_xact_lock(tg_relid::bigint); return null; end $$`.execute(db)
  await sql`create trigger ${sql.ref(`${table}_in_order`)} before insert on ${sql.table(table)}
    for each statement execute function holdfast_in_order()`.execute(db)
}
