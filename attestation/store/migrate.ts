import { type Kysely, Migrator } from 'kysely'
import { StoreError } from './errors.ts'
import { migrationProvider } from './migrations.ts'
import type { Database } from './schema.ts'

/**
 * Brings the tables up to date. Verifiers that start at the same time wait for each other.
 *
 * @param name of the store, for messages
 * @throws StoreError STORE_VERSION where a later release has made them; what the database said, as it is
 */
export async function migrate(db: Kysely<Database>, name: string): Promise<void> {
  const migrator = new Migrator({ db, provider: migrationProvider })
  const known = new Set(Object.keys(await migrationProvider.getMigrations()))
  const later = (await executed(db)).find((migration) => !known.has(migration))
  if (later !== undefined) {
    const message = `${name}: made by a later release of Holdfast; run that one, or put back a copy`
    throw new StoreError('STORE_VERSION', message)
  }
  const { error } = await migrator.migrateToLatest()
  if (error !== undefined) throw error
}

async function executed(db: Kysely<Database>): Promise<string[]> {
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true })
  if (!tables.some(({ name }) => name === MIGRATIONS_TABLE)) return []
  const rows = await db
    .withTables<{ kysely_migration: { name: string } }>()
    .selectFrom(MIGRATIONS_TABLE)
    .select('name')
    .execute()
  return rows.map(({ name }) => name)
}

const MIGRATIONS_TABLE = 'kysely_migration'
