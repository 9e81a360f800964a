import assert from 'node:assert/strict'
import pg from 'pg'
import {
  eventsBetween,
  newestEvent,
  openStore,
  type Store,
  StoreError,
  saveToken,
} from '../../../attestation/store/index.ts'
import { startPostgresOrSkip, type TestPostgres } from '../../support/postgres.ts'
import { decision, enrolment, evidence, nodeId, result, version } from '../../support/store-records.ts'

describe('a store in PostgreSQL', () => {
  let server: TestPostgres
  const open: Store[] = []
  const at = new Date('2026-01-02T03:04:05.000Z')
  const connect = async (url: string): Promise<Store> => {
    const store = await openStore(url, { exclusive: true, create: true, now: () => at })
    open.push(store)
    return store
  }
  before(async function () {
    server = await startPostgresOrSkip(this)
  })
  afterEach(async () => {
    for (const store of open.splice(0)) await store.close()
  })
  after(async () => await server?.stop())

  it('is made once by verifiers that start at the same time', async () => {
    const url = await server.database()
    const stores = await Promise.all(Array.from({ length: 4 }, async () => await connect(url)))
    await stores[0]?.enrol(enrolment(1))
    assert.equal((await stores[3]?.nodes())?.length, 1)
  })

  it('lets one of many keep a result, whoever it is, and spend a token', async () => {
    const url = await server.database()
    const stores = await Promise.all(Array.from({ length: 3 }, async () => await connect(url)))
    const [first] = stores
    assert.ok(first)
    await saveToken(first, { sha256: 'a'.repeat(64), labels: {}, expiresAt: new Date(at.getTime() + 1000) }, 'anna')
    const outcomes = async (works: readonly Promise<unknown>[]): Promise<(string | undefined)[]> =>
      (await Promise.allSettled(works)).map((r) =>
        r.status === 'fulfilled' ? undefined : r.reason instanceof StoreError ? r.reason.code : String(r.reason),
      )
    const enrolled = await outcomes(
      stores.map((store, n) => store.enrol(enrolment(n + 1, { kind: 'token', tokenSha256: 'a'.repeat(64) }))),
    )
    assert.deepEqual(enrolled.sort(), ['STORE_CONFLICT', 'STORE_CONFLICT', undefined])
    const [node] = await first.nodes()
    assert.ok(node)
    for (let round = 0; round < 20; round++) {
      const now = { ...node, revision: round }
      const saved = await outcomes(
        stores.map((store, n) =>
          n === 0
            ? store.saveResult(result(1, { node: now }))
            : store.saveDecision(
                decision(1, { nodeId: node.nodeId, ticketId: `${round}-${n}` }),
                result(1, { node: now }),
              ),
        ),
      )
      assert.deepEqual(saved.sort(), ['STORE_CONFLICT', 'STORE_CONFLICT', undefined], `round ${round}`)
    }
    assert.equal((await first.node(node.nodeId))?.revision, 20)
  })

  it('hands out numbers of events in the order in which they can be read', async () => {
    const url = await server.database()
    const stores = await Promise.all(Array.from({ length: 4 }, async () => await connect(url)))
    const [first] = stores
    assert.ok(first)
    const count = 40
    for (let n = 0; n < count; n++) await first.enrol(enrolment(n, { kind: 'listed' }))
    const seen: number[] = []
    let writing = true
    const reading = (async () => {
      let last = await first.query(newestEvent)
      while (writing || (await first.query(newestEvent)) > last) {
        const upTo = await first.query(newestEvent)
        const events = await first.query((db) => eventsBetween(db, {}, { after: last, upTo, limit: 10_000 }))
        seen.push(...events.map(({ id }) => id))
        last = Math.max(last, upTo)
      }
    })()
    const change = { tier: 'affirming', findings: '[]' }
    await Promise.all(
      Array.from({ length: count }, async (_, n) => {
        await stores[n % stores.length]?.saveResult(result(n, { node: version(n, 1), change }))
      }),
    )
    writing = false
    await reading
    assert.equal(seen.length, count, 'no event was committed behind one that had been read')
  })

  it('speaks to the database of another machine by verified TLS only, and repeats no password', async () => {
    for (const url of [
      'postgres://user:hunter2@db.example/holdfast',
      'postgres://user:hunter2@db.example/holdfast?sslmode=require',
      'postgres://user:hunter2@db.example/holdfast?sslmode=no-verify',
      'postgres://user:hunter2@192.0.2.1:1/holdfast?sslmode=disable',
      'postgres://user:hunter2@db.example:port/holdfast',
      'postgres://user:hunter2@db.example/holdfast?sslmode=verify-full&sslrootcert=/no/such/file',
    ]) {
      const err: unknown = await openStore(url, { exclusive: true, create: true }).catch((e) => e)
      assert.ok(err instanceof StoreError, url)
      assert.equal(err.code, 'STORE_UNAVAILABLE')
      assert.doesNotMatch(JSON.stringify([err.message, err.stack, err.cause]), /hunter2/)
    }
  })

  it('says what is wrong where there is no server and no such database', async () => {
    const url = await server.database()
    const missing = url.replace(/holdfast_\d+/, 'no_such')
    await assert.rejects(openStore(missing, { exclusive: true, create: true }), {
      code: 'STORE_UNAVAILABLE',
      message: /createdb/,
    })
    await assert.rejects(openStore('postgres://user@127.0.0.1:1/x', { exclusive: true, create: true }), {
      code: 'STORE_UNAVAILABLE',
    })
  })

  it('goes on when its connections were cut, and keeps nothing of what was cut off', async () => {
    const url = await server.database()
    const store = await connect(url)
    await store.enrol(enrolment(1))
    const admin = new pg.Client({ connectionString: url })
    await admin.connect()
    try {
      await assert.rejects(
        store.transact(async (tx) => {
          await tx.updateTable('nodes').set({ tier: 'affirming' }).execute()
          const other = 'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1'
          await admin.query(other, ['holdfast-verifier'])
          await tx.selectFrom('nodes').selectAll().execute()
        }),
        { code: 'STORE_UNAVAILABLE' },
      )
    } finally {
      await admin.end()
    }
    assert.equal((await store.node(nodeId(1)))?.tier, 'none')
    await store.saveEvidence(evidence('cc'))
    assert.ok(await store.evidence(evidence('cc').sha256))
  })

  it('says STORE_LOCKED when another program keeps a lock', async () => {
    const url = await server.database()
    const store = await connect(url)
    await store.enrol(enrolment(1))
    const other = new pg.Client({ connectionString: url })
    await other.connect()
    try {
      await other.query('begin')
      await other.query('lock table nodes')
      await assert.rejects(store.saveResult(result(1, { node: version(1, 1) })), { code: 'STORE_LOCKED' })
      await other.query('rollback')
    } finally {
      await other.end()
    }
    await store.saveResult(result(1, { node: version(1, 1) }))
  })

  it('is unavailable while its server is away', async function () {
    const own = await startPostgresOrSkip(this)
    const store = await openStore(await own.database(), { exclusive: true, create: true })
    try {
      await store.enrol(enrolment(1))
      await own.stop()
      await assert.rejects(store.node(nodeId(1)), { code: 'STORE_UNAVAILABLE' })
      await assert.rejects(store.saveEvidence(evidence('dd')), { code: 'STORE_UNAVAILABLE' })
      await assert.rejects(store.dataVersion(), { code: 'STORE_UNAVAILABLE' })
    } finally {
      await store.close()
      await own.stop()
    }
  })
})
