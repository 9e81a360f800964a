import { type Kysely, type Migration, type MigrationProvider, sql } from 'kysely'
import { bytes, count, dialectOf, identity, identityKey, inOrder, refuse, refuseTruncate, text } from './dialect.ts'

/**
 * The one set of migrations, in order of name; what databases spell differently is in dialect.ts. A released migration
 * is never edited; a change is a new one.
 */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-nodes-decisions-evidence': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable('nodes')
        .addColumn('node_id', text(db), (c) => c.primaryKey())
        .addColumn('ek_public', bytes(db), (c) => c.notNull().unique())
        .addColumn('ek_certificate_sha256', text(db))
        .addColumn('ak_public', bytes(db))
        .addColumn('ak_name', text(db), (c) => c.unique())
        .addColumn('ak_certificate', bytes(db))
        .addColumn('admission', text(db), (c) =>
          c.notNull().check(sql`admission in ('pending', 'admitted', 'refused')`),
        )
        .addColumn('admitted_by', text(db))
        .addColumn('labels', text(db), (c) => c.notNull())
        .addColumn('attributes', text(db), (c) => c.notNull())
        .addColumn('tier', text(db), (c) => c.notNull())
        .addColumn('quarantine', text(db))
        .addColumn('state', text(db))
        .addColumn('generation', count(db), (c) => c.notNull())
        .addColumn('created_at', text(db), (c) => c.notNull())
        .addColumn('updated_at', text(db), (c) => c.notNull())
        .execute()
      await db.schema
        .createTable('enrolment_tokens')
        .addColumn('token_sha256', text(db), (c) => c.primaryKey())
        .addColumn('labels', text(db), (c) => c.notNull())
        .addColumn('created_at', text(db), (c) => c.notNull())
        .addColumn('expires_at', text(db), (c) => c.notNull())
        .addColumn('used_at', text(db))
        .addColumn('used_by', text(db))
        .execute()
      await db.schema
        .createTable('decisions')
        .addColumn('id', identity(db), identityKey(db))
        .addColumn('at', text(db), (c) => c.notNull())
        .addColumn('node_id', text(db), (c) => c.notNull())
        .addColumn('pod_uuid', text(db), (c) => c.notNull())
        .addColumn('outcome', text(db), (c) => c.notNull().check(sql`outcome in ('allowed', 'denied')`))
        .addColumn('code', text(db))
        .addColumn('reasons', text(db), (c) => c.notNull())
        .addColumn('policy_revision', text(db))
        .addColumn('ticket_id', text(db), (c) => c.unique())
        .addColumn('tier', text(db), (c) => c.notNull())
        .addColumn('request_sha256', text(db), (c) => c.notNull())
        .addColumn('request', bytes(db), (c) => c.notNull())
        .addColumn('evidence_sha256', text(db), (c) => c.notNull())
        .execute()
      await db.schema
        .createTable('verdicts')
        .addColumn('id', identity(db), identityKey(db))
        .addColumn('at', text(db), (c) => c.notNull())
        .addColumn('node_id', text(db), (c) => c.notNull())
        .addColumn('tier', text(db), (c) => c.notNull())
        .addColumn('findings', text(db), (c) => c.notNull())
        .addColumn('evidence_sha256', text(db))
        .execute()
      await db.schema
        .createTable('evidence')
        .addColumn('sha256', text(db), (c) => c.primaryKey())
        .addColumn('kind', text(db), (c) => c.notNull())
        .addColumn('at', text(db), (c) => c.notNull())
        .addColumn('bytes', bytes(db), (c) => c.notNull())
        .execute()
      await db.schema
        .createTable('operator_acts')
        .addColumn('id', identity(db), identityKey(db))
        .addColumn('at', text(db), (c) => c.notNull())
        .addColumn('operator', text(db), (c) => c.notNull())
        .addColumn('act', text(db), (c) => c.notNull())
        .addColumn('node_id', text(db))
        .addColumn('detail', text(db), (c) => c.notNull())
        .execute()
      await db.schema
        .createTable('settings')
        .addColumn('name', text(db), (c) => c.primaryKey())
        .addColumn('value', text(db), (c) => c.notNull())
        .execute()
      await keepBinding(db)
      for (const table of ['decisions', 'verdicts', 'evidence', 'operator_acts']) await makeAppendOnly(db, table)
    },
  },
  '0002-standing': {
    async up(db: Kysely<unknown>): Promise<void> {
      // a node of before has none of this yet; its next verdict says how it stands
      await db.schema
        .alterTable('nodes')
        .addColumn('standing', text(db), (c) => c.notNull().defaultTo('pending'))
        .execute()
      await db.schema
        .alterTable('nodes')
        .addColumn('standing_since', text(db), (c) => c.notNull().defaultTo(''))
        .execute()
      await db.schema
        .alterTable('nodes')
        .addColumn('standing_reasons', text(db), (c) => c.notNull().defaultTo('[]'))
        .execute()
      await db.schema
        .createTable('node_events')
        .addColumn('id', identity(db), identityKey(db))
        .addColumn('at', text(db), (c) => c.notNull())
        .addColumn('node_id', text(db), (c) => c.notNull())
        .addColumn('from', text(db), (c) => c.notNull())
        .addColumn('to', text(db), (c) => c.notNull())
        .addColumn('reasons', text(db), (c) => c.notNull())
        .execute()
      await db.schema
        .createTable('webhooks')
        .addColumn('receiver', text(db), (c) => c.primaryKey())
        .addColumn('event_id', count(db), (c) => c.notNull())
        .addColumn('acknowledged_at', text(db))
        .execute()
      await makeAppendOnly(db, 'node_events')
    },
  },
  '0003-endorsement': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema.alterTable('nodes').addColumn('endorsement', text(db)).execute()
    },
  },
  '0004-machine': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema.alterTable('nodes').addColumn('machine', text(db)).execute()
    },
  },
  '0005-api-tokens': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable('api_tokens')
        .addColumn('name', text(db), (c) => c.primaryKey())
        .addColumn('token_sha256', text(db), (c) => c.notNull().unique())
        .addColumn('role', text(db), (c) => c.notNull())
        .addColumn('labels', text(db), (c) => c.notNull())
        .addColumn('created_at', text(db), (c) => c.notNull())
        .addColumn('created_by', text(db), (c) => c.notNull())
        .addColumn('expires_at', text(db), (c) => c.notNull())
        .addColumn('revoked_at', text(db))
        .addColumn('last_used_at', text(db))
        .execute()
    },
  },
  '0006-api-indexes': {
    async up(db: Kysely<unknown>): Promise<void> {
      // each for one question of the API that would read a whole table without it
      const indexes: readonly (readonly [table: string, ...columns: string[]])[] = [
        ['nodes', 'standing', 'admission', 'node_id'],
        ['nodes', 'created_at', 'node_id'],
        ['decisions', 'at', 'outcome'],
        ['decisions', 'node_id', 'id'],
        ['decisions', 'pod_uuid', 'id'],
        ['decisions', 'evidence_sha256'],
        ['verdicts', 'node_id', 'id'],
        ['verdicts', 'evidence_sha256'],
        ['node_events', 'node_id', 'id'],
      ]
      for (const [table, ...columns] of indexes) {
        await db.schema
          .createIndex([table, 'by', ...columns].join('_'))
          .on(table)
          .columns([...columns])
          .execute()
      }
    },
  },
  '0007-pod-tpms': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable('pod_tpms')
        .addColumn('node_id', text(db), (c) => c.primaryKey())
        .addColumn('certificate_sha256', text(db), (c) => c.notNull())
        .addColumn('authority_sha256', text(db), (c) => c.notNull())
        .addColumn('host', text(db), (c) => c.notNull())
        .addColumn('pod_uuid', text(db), (c) => c.notNull())
        .addColumn('at', text(db), (c) => c.notNull())
        .execute()
      await makeAppendOnly(db, 'pod_tpms')
    },
  },
  '0008-several-verifiers': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .alterTable('nodes')
        .addColumn('revision', count(db), (c) => c.notNull().defaultTo(0))
        .execute()
      if (dialectOf(db) !== 'postgres') return
      for (const table of ['node_events', 'operator_acts']) await inOrder(db, table)
      for (const table of ['nodes', 'decisions', 'verdicts', 'evidence', 'operator_acts', 'node_events', 'pod_tpms']) {
        await refuseTruncate(db, table)
      }
    },
  },
}

/**
 * EK and node never part, and an AK goes only by being taken away first: by an operator (`nodes rebind`), or when its
 * successor is proved.
 */
async function keepBinding(db: Kysely<unknown>): Promise<void> {
  const parted = sql`new.node_id <> old.node_id or new.ek_public <> old.ek_public
    or (old.ak_name is not null and new.ak_name is not null and new.ak_name <> old.ak_name)`
  await refuse(db, {
    name: 'nodes_binding',
    table: 'nodes',
    change: 'update',
    when: parted,
    why: 'EK, node and AK belong together',
  })
  await refuse(db, { name: 'nodes_no_delete', table: 'nodes', change: 'delete', why: 'nodes are refused, not deleted' })
}

/** Neither our own mistakes nor a hurried operator with a SQL shell rewrite what was decided. */
async function makeAppendOnly(db: Kysely<unknown>, table: string): Promise<void> {
  for (const change of ['update', 'delete'] as const) {
    await refuse(db, { name: `${table}_no_${change}`, table, change, why: `${table} is append-only` })
  }
}

export const migrationProvider: MigrationProvider = { getMigrations: async () => ({ ...MIGRATIONS }) }
