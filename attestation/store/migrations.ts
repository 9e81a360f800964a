import { type Kysely, type Migration, type MigrationProvider, sql } from 'kysely'

/**
 * The one set of migrations, in order of name. Only what differs between databases is spelled by hand: the triggers
 * that make a table append-only. A released migration is never edited; a change is a new one.
 */
const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001-nodes-decisions-evidence': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable('nodes')
        .addColumn('node_id', 'text', (c) => c.primaryKey())
        .addColumn('ek_public', 'blob', (c) => c.notNull().unique())
        .addColumn('ek_certificate_sha256', 'text')
        .addColumn('ak_public', 'blob')
        .addColumn('ak_name', 'text', (c) => c.unique())
        .addColumn('ak_certificate', 'blob')
        .addColumn('admission', 'text', (c) => c.notNull().check(sql`admission in ('pending', 'admitted', 'refused')`))
        .addColumn('admitted_by', 'text')
        .addColumn('labels', 'text', (c) => c.notNull())
        .addColumn('attributes', 'text', (c) => c.notNull())
        .addColumn('tier', 'text', (c) => c.notNull())
        .addColumn('quarantine', 'text')
        .addColumn('state', 'text')
        .addColumn('generation', 'integer', (c) => c.notNull())
        .addColumn('created_at', 'text', (c) => c.notNull())
        .addColumn('updated_at', 'text', (c) => c.notNull())
        .execute()
      await db.schema
        .createTable('enrolment_tokens')
        .addColumn('token_sha256', 'text', (c) => c.primaryKey())
        .addColumn('labels', 'text', (c) => c.notNull())
        .addColumn('created_at', 'text', (c) => c.notNull())
        .addColumn('expires_at', 'text', (c) => c.notNull())
        .addColumn('used_at', 'text')
        .addColumn('used_by', 'text')
        .execute()
      await db.schema
        .createTable('decisions')
        .addColumn('id', 'integer', (c) => c.primaryKey().autoIncrement())
        .addColumn('at', 'text', (c) => c.notNull())
        .addColumn('node_id', 'text', (c) => c.notNull())
        .addColumn('pod_uuid', 'text', (c) => c.notNull())
        .addColumn('outcome', 'text', (c) => c.notNull().check(sql`outcome in ('allowed', 'denied')`))
        .addColumn('code', 'text')
        .addColumn('reasons', 'text', (c) => c.notNull())
        .addColumn('policy_revision', 'text')
        .addColumn('ticket_id', 'text', (c) => c.unique())
        .addColumn('tier', 'text', (c) => c.notNull())
        .addColumn('request_sha256', 'text', (c) => c.notNull())
        .addColumn('request', 'blob', (c) => c.notNull())
        .addColumn('evidence_sha256', 'text', (c) => c.notNull())
        .execute()
      await db.schema
        .createTable('verdicts')
        .addColumn('id', 'integer', (c) => c.primaryKey().autoIncrement())
        .addColumn('at', 'text', (c) => c.notNull())
        .addColumn('node_id', 'text', (c) => c.notNull())
        .addColumn('tier', 'text', (c) => c.notNull())
        .addColumn('findings', 'text', (c) => c.notNull())
        .addColumn('evidence_sha256', 'text')
        .execute()
      await db.schema
        .createTable('evidence')
        .addColumn('sha256', 'text', (c) => c.primaryKey())
        .addColumn('kind', 'text', (c) => c.notNull())
        .addColumn('at', 'text', (c) => c.notNull())
        .addColumn('bytes', 'blob', (c) => c.notNull())
        .execute()
      await db.schema
        .createTable('operator_acts')
        .addColumn('id', 'integer', (c) => c.primaryKey().autoIncrement())
        .addColumn('at', 'text', (c) => c.notNull())
        .addColumn('operator', 'text', (c) => c.notNull())
        .addColumn('act', 'text', (c) => c.notNull())
        .addColumn('node_id', 'text')
        .addColumn('detail', 'text', (c) => c.notNull())
        .execute()
      await db.schema
        .createTable('settings')
        .addColumn('name', 'text', (c) => c.primaryKey())
        .addColumn('value', 'text', (c) => c.notNull())
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
        .addColumn('standing', 'text', (c) => c.notNull().defaultTo('pending'))
        .execute()
      await db.schema
        .alterTable('nodes')
        .addColumn('standing_since', 'text', (c) => c.notNull().defaultTo(''))
        .execute()
      await db.schema
        .alterTable('nodes')
        .addColumn('standing_reasons', 'text', (c) => c.notNull().defaultTo('[]'))
        .execute()
      await db.schema
        .createTable('node_events')
        .addColumn('id', 'integer', (c) => c.primaryKey().autoIncrement())
        .addColumn('at', 'text', (c) => c.notNull())
        .addColumn('node_id', 'text', (c) => c.notNull())
        .addColumn('from', 'text', (c) => c.notNull())
        .addColumn('to', 'text', (c) => c.notNull())
        .addColumn('reasons', 'text', (c) => c.notNull())
        .execute()
      await db.schema
        .createTable('webhooks')
        .addColumn('receiver', 'text', (c) => c.primaryKey())
        .addColumn('event_id', 'integer', (c) => c.notNull())
        .addColumn('acknowledged_at', 'text')
        .execute()
      await makeAppendOnly(db, 'node_events')
    },
  },
  '0003-endorsement': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema.alterTable('nodes').addColumn('endorsement', 'text').execute()
    },
  },
  '0004-machine': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema.alterTable('nodes').addColumn('machine', 'text').execute()
    },
  },
  '0005-api-tokens': {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable('api_tokens')
        .addColumn('name', 'text', (c) => c.primaryKey())
        .addColumn('token_sha256', 'text', (c) => c.notNull().unique())
        .addColumn('role', 'text', (c) => c.notNull())
        .addColumn('labels', 'text', (c) => c.notNull())
        .addColumn('created_at', 'text', (c) => c.notNull())
        .addColumn('created_by', 'text', (c) => c.notNull())
        .addColumn('expires_at', 'text', (c) => c.notNull())
        .addColumn('revoked_at', 'text')
        .addColumn('last_used_at', 'text')
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
        .addColumn('node_id', 'text', (c) => c.primaryKey())
        .addColumn('certificate_sha256', 'text', (c) => c.notNull())
        .addColumn('authority_sha256', 'text', (c) => c.notNull())
        .addColumn('host', 'text', (c) => c.notNull())
        .addColumn('pod_uuid', 'text', (c) => c.notNull())
        .addColumn('at', 'text', (c) => c.notNull())
        .execute()
      await makeAppendOnly(db, 'pod_tpms')
    },
  },
}

/**
 * EK and node never part, and an AK goes only by being taken away first: by an operator (`nodes rebind`), or when its
 * successor is proved.
 */
async function keepBinding(db: Kysely<unknown>): Promise<void> {
  await sql`create trigger nodes_binding before update on nodes
    when new.node_id <> old.node_id or new.ek_public <> old.ek_public
      or (old.ak_name is not null and new.ak_name is not null and new.ak_name <> old.ak_name)
    begin select raise(abort, 'EK, node and AK belong together'); end`.execute(db)
  await sql`create trigger nodes_no_delete before delete on nodes
    begin select raise(abort, 'nodes are refused, not deleted'); end`.execute(db)
}

/** Neither our own mistakes nor a hurried operator with a SQL shell rewrite what was decided. */
async function makeAppendOnly(db: Kysely<unknown>, table: string): Promise<void> {
  for (const change of ['update', 'delete']) {
    await sql`create trigger ${sql.ref(`${table}_no_${change}`)} before ${sql.raw(change)} on ${sql.table(table)}
      begin select raise(abort, ${sql.lit(`${table} is append-only`)}); end`.execute(db)
  }
}

export const migrationProvider: MigrationProvider = { getMigrations: async () => ({ ...MIGRATIONS }) }
