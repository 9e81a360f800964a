import { StoreError } from './errors.ts'
import type { Labels } from './records.ts'
import type { ApiTokensTable } from './schema.ts'
import type { Store } from './store.ts'

/** A token of the API. The secret itself is nowhere: `sha256` is all that is kept of it. */
export interface ApiToken {
  readonly name: string
  readonly sha256: string
  readonly role: string
  /** The role holds for nodes that have all of these; for all nodes where there is none. */
  readonly labels: Labels
  /** Times are ISO 8601, UTC. */
  readonly createdAt: string
  readonly createdBy: string
  readonly expiresAt: string
  readonly revokedAt?: string
  /** To the hour. */
  readonly lastUsedAt?: string
}

/** @throws StoreError STORE_CONFLICT when there is, or was, one of this name */
export async function saveApiToken(
  store: Store,
  token: Pick<ApiToken, 'name' | 'sha256' | 'role' | 'labels'> & { readonly expiresAt: Date },
  operator: string,
): Promise<void> {
  const { name, role, sha256 } = token
  await store.transact(async (tx, at) => {
    const had = await tx.selectFrom('api_tokens').select('name').where('name', '=', name).executeTakeFirst()
    if (had) {
      const why = 'and the records of what it did have its name; choose another'
      throw new StoreError('STORE_CONFLICT', `there is or was an API token named ${name}, ${why}`)
    }
    const labels = JSON.stringify(token.labels)
    const expires_at = token.expiresAt.toISOString()
    await tx
      .insertInto('api_tokens')
      .values({
        ...{ name, token_sha256: sha256, role, labels, expires_at, created_at: at, created_by: operator },
        ...{ revoked_at: null, last_used_at: null },
      })
      .execute()
    const detail = JSON.stringify({ name, role, labels: token.labels, expiresAt: expires_at })
    await tx
      .insertInto('operator_acts')
      .values({ at, operator, act: 'create-api-token', node_id: null, detail })
      .execute()
  })
}

/** Ends a token at once, for good. @throws StoreError STORE_CONFLICT when there is none that could be ended */
export async function revokeApiToken(store: Store, name: string, operator: string): Promise<void> {
  await store.transact(async (tx, at) => {
    const done = await tx
      .updateTable('api_tokens')
      .set({ revoked_at: at })
      .where('name', '=', name)
      .where('revoked_at', 'is', null)
      .executeTakeFirst()
    if (done.numUpdatedRows !== 1n) {
      const why = 'or it is revoked already; see: holdfast tokens list'
      throw new StoreError('STORE_CONFLICT', `there is no API token named ${name}, ${why}`)
    }
    const detail = JSON.stringify({ name })
    await tx
      .insertInto('operator_acts')
      .values({ at, operator, act: 'revoke-api-token', node_id: null, detail })
      .execute()
  })
}

/** All that there ever were, in order of name. */
export async function listApiTokens(store: Store): Promise<ApiToken[]> {
  const rows = await store.query((db) => db.selectFrom('api_tokens').selectAll().orderBy('name').execute())
  return rows.map(fromRow)
}

/** Whatever became of it: who asks looks at its times. */
export async function findApiToken(store: Store, sha256: string): Promise<ApiToken | undefined> {
  const row = await store.query((db) =>
    db.selectFrom('api_tokens').selectAll().where('token_sha256', '=', sha256).executeTakeFirst(),
  )
  return row && fromRow(row)
}

/** @param at ISO 8601, coarse enough that this is seldom called */
export async function noteApiTokenUse(store: Store, name: string, at: string): Promise<void> {
  await store.transact(
    async (tx) => await tx.updateTable('api_tokens').set({ last_used_at: at }).where('name', '=', name).execute(),
  )
}

function fromRow(row: ApiTokensTable): ApiToken {
  return {
    name: row.name,
    sha256: row.token_sha256,
    role: row.role,
    labels: JSON.parse(row.labels),
    createdAt: row.created_at,
    createdBy: row.created_by,
    expiresAt: row.expires_at,
    ...(row.revoked_at !== null && { revokedAt: row.revoked_at }),
    ...(row.last_used_at !== null && { lastUsedAt: row.last_used_at }),
  }
}
