import assert from 'node:assert/strict'
import { join } from 'node:path'
import { sql } from 'kysely'
import { findNode, openStore, operate, type Store, saveToken } from '../../../attestation/store/index.ts'
import { startPostgresOrSkip, type TestPostgres } from '../../support/postgres.ts'
import { ak, decision, enrolment, evidence, nodeId, result, version } from '../../support/store-records.ts'
import { tempDir } from '../../support/temp-dir.ts'

for (const engine of ['SQLite', 'PostgreSQL'] as const)
  describe(`the store on ${engine}`, () => {
    const dir = tempDir()
    let server: TestPostgres | undefined
    let count = 0
    const open: Store[] = []
    const at = new Date('2026-01-02T03:04:05.000Z')
    const newPlace = async (): Promise<string> =>
      server === undefined ? join(dir.path, `store-${count++}.sqlite`) : await server.database()
    const fresh = async (place?: string): Promise<Store> => {
      const store = await openStore(place ?? (await newPlace()), { exclusive: true, create: true, now: () => at })
      open.push(store)
      return store
    }
    before(async function () {
      if (engine === 'PostgreSQL') server = await startPostgresOrSkip(this)
    })
    afterEach(async () => {
      for (const store of open.splice(0)) await store.close()
    })
    after(async () => {
      await server?.stop()
      dir.remove()
    })

    it('keeps a node with everything it was given, over a restart', async () => {
      const place = await newPlace()
      const store = await fresh(place)
      await store.enrol({ ...enrolment(1), ekCertificateSha256: nodeId(3) })
      await store.close()
      open.pop()
      const again = await fresh(place)
      const node = await again.node(nodeId(1))
      assert.equal(node?.admission, 'pending')
      assert.deepEqual(node?.ak, ak(1))
      assert.equal(node?.ekCertificateSha256, nodeId(3))
      assert.deepEqual(node?.attributes, { hostname: 'host1' })
      assert.equal(node?.createdAt, '2026-01-02T03:04:05.000Z')
    })

    it('refuses one EK for two nodes, one node for two EKs and one AK for two nodes', async () => {
      const store = await fresh()
      await store.enrol(enrolment(1))
      await assert.rejects(store.enrol({ ...enrolment(2), ekPublic: enrolment(1).ekPublic }), {
        code: 'STORE_CONFLICT',
      })
      await assert.rejects(store.enrol({ ...enrolment(1), ekPublic: Uint8Array.of(7) }), { code: 'STORE_CONFLICT' })
      await assert.rejects(store.enrol({ ...enrolment(2), ak: ak(1) }), { code: 'STORE_CONFLICT' })
      assert.equal((await store.nodes()).length, 1)
    })

    it('binds another AK only after an operator has taken the first one away', async () => {
      const store = await fresh()
      await store.enrol(enrolment(1))
      await assert.rejects(store.bindAk(nodeId(1), ak(2)), { code: 'STORE_CONFLICT' })
      await operate(store, nodeId(1), { act: 'rebind' }, 'anna')
      assert.equal((await store.node(nodeId(1)))?.ak, undefined)
      assert.equal((await store.bindAk(nodeId(1), ak(2))).ak?.name, ak(2).name)
    })

    it('lets no statement part EK, node and AK, rewrite a decision, or delete a node', async () => {
      const store = await fresh()
      await store.enrol(enrolment(1))
      await operate(store, nodeId(1), { act: 'admit' }, 'anna')
      await store.saveDecision(decision(1), result(1))
      for (const statement of [
        `update nodes set ak_name = 'other'`,
        `update nodes set ek_public = ak_public`,
        `update nodes set node_id = 'x'`,
        'delete from nodes',
        `update decisions set outcome = 'denied'`,
        'delete from decisions',
        'delete from evidence',
        'delete from operator_acts',
        ...(engine === 'PostgreSQL' ? ['truncate decisions', 'truncate nodes', 'truncate operator_acts cascade'] : []),
      ]) {
        await assert.rejects(
          store.query((db) => sql.raw(statement).execute(db)),
          { code: 'STORE_CONFLICT' },
          statement,
        )
      }
    })

    it('spends a token once, gives its labels, and enrols nobody with a spent, unknown or expired one', async () => {
      const store = await fresh()
      const later = new Date(at.getTime() + 1000)
      await saveToken(store, { sha256: 'a'.repeat(64), labels: { zone: 'x' }, expiresAt: later }, 'anna')
      await saveToken(store, { sha256: 'b'.repeat(64), labels: {}, expiresAt: at }, 'anna')
      const node = await store.enrol(enrolment(1, { kind: 'token', tokenSha256: 'a'.repeat(64) }))
      assert.equal(node.admission, 'admitted')
      assert.equal(node.admittedBy, 'token')
      assert.deepEqual(node.labels, { zone: 'x' })
      for (const tokenSha256 of ['a', 'b', 'c'].map((c) => c.repeat(64))) {
        await assert.rejects(store.enrol(enrolment(2, { kind: 'token', tokenSha256 })), { code: 'STORE_CONFLICT' })
      }
      assert.equal(await store.node(nodeId(2)), undefined)
    })

    it('keeps decision, evidence and state together or not at all', async () => {
      const store = await fresh()
      await store.enrol(enrolment(1))
      await operate(store, nodeId(1), { act: 'admit' }, 'anna')
      await store.saveDecision(decision(1), result(1))
      assert.equal((await store.node(nodeId(1)))?.state, '{"offset":1}')
      assert.deepEqual(await store.evidence(evidence('aa').sha256), new Uint8Array(Buffer.from('aa')))
      // the same ticket id again: refused by the table, and the new state with it
      await assert.rejects(
        store.saveDecision(decision(1), result(1, { node: version(1, 2, 1), state: '{"offset":2}' })),
        {
          code: 'STORE_CONFLICT',
        },
      )
      assert.equal((await store.node(nodeId(1)))?.state, '{"offset":1}')
      assert.equal((await store.decisions(nodeId(1), 10)).length, 1)
    })

    for (const [what, prepare] of [
      ['pending', async (s: Store) => await operate(s, nodeId(1), { act: 'release' }, 'anna')],
      ['refused', async (s: Store) => await operate(s, nodeId(1), { act: 'refuse' }, 'anna')],
      [
        'quarantined',
        async (s: Store) => {
          await operate(s, nodeId(1), { act: 'admit' }, 'anna')
          await s.saveVerdict(
            version(1),
            { tier: 'contraindicated', findings: '[]', quarantine: 'forked log' },
            undefined,
          )
        },
      ],
    ] as const) {
      it(`commits no permission for a node that is ${what}, but keeps its denial`, async () => {
        const store = await fresh()
        await store.enrol(enrolment(1))
        await prepare(store)
        await assert.rejects(store.saveDecision(decision(1), result(1)), { code: 'STORE_CONFLICT' })
        const { ticketId: _, ...rest } = decision(1, { outcome: 'denied', code: 'NODE_QUARANTINED' })
        const node = await store.node(nodeId(1))
        assert.ok(node)
        await store.saveDecision(rest, result(1, { node }))
        assert.deepEqual(
          (await store.decisions(nodeId(1), 10)).map((d) => d.outcome),
          ['denied'],
        )
      })
    }

    it('commits no permission for a node whose key was taken away in between', async () => {
      const store = await fresh()
      await store.enrol(enrolment(1))
      await operate(store, nodeId(1), { act: 'admit' }, 'anna')
      await operate(store, nodeId(1), { act: 'rebind' }, 'anna')
      await assert.rejects(store.saveDecision(decision(1), result(1)), { code: 'STORE_CONFLICT' })
    })

    it('keeps quarantine until it is released, whatever later verdicts say', async () => {
      const store = await fresh()
      await store.enrol(enrolment(1))
      await store.saveVerdict(
        version(1, 1),
        { tier: 'contraindicated', findings: '[]', quarantine: 'forked log' },
        undefined,
      )
      await store.saveResult(result(1, { node: version(1, 1, 1), change: { tier: 'affirming', findings: '[]' } }))
      assert.equal((await store.node(nodeId(1)))?.quarantine, 'forked log')
      await operate(store, nodeId(1), { act: 'release' }, 'anna')
      const node = await store.node(nodeId(1))
      assert.equal(node?.quarantine, undefined)
      assert.equal(node?.state, undefined)
      assert.equal((await store.verdicts(nodeId(1), 10)).length, 2)
    })

    it('sets and removes labels', async () => {
      const store = await fresh()
      await store.enrol(enrolment(1))
      await operate(store, nodeId(1), { act: 'label', set: { zone: 'a', rack: '3' }, remove: [] }, 'anna')
      await operate(store, nodeId(1), { act: 'label', set: { zone: 'b' }, remove: ['rack'] }, 'anna')
      assert.deepEqual((await store.node(nodeId(1)))?.labels, { zone: 'b' })
    })

    it('finds a node by ID, beginning of an ID or host name, and says when none or several fit', async () => {
      const store = await fresh()
      await store.enrol({ ...enrolment(1), nodeId: `abcd1${'0'.repeat(59)}` })
      await store.enrol({ ...enrolment(2), nodeId: `abcd2${'0'.repeat(59)}` })
      assert.equal((await findNode(store, 'ABCD1')).attributes['hostname'], 'host1')
      assert.equal((await findNode(store, 'host2')).attributes['hostname'], 'host2')
      for (const name of ['abcd', 'abc', 'host3', '']) {
        await assert.rejects(findNode(store, name), { code: 'STORE_NODE_UNKNOWN' }, name)
      }
    })

    it('belongs to one ticket key', async () => {
      const store = await fresh()
      await store.claimFor(nodeId(1))
      await store.claimFor(nodeId(1))
      await assert.rejects(store.claimFor(nodeId(2)), { code: 'STORE_CONFLICT' })
    })

    it('keeps no result of a verifier that was overtaken by another one, and none twice', async () => {
      const store = await fresh()
      await store.enrol(enrolment(1))
      await store.saveResult(result(1, { node: version(1, 1, 0), state: '{"by":"one"}' }))
      const late = { node: version(1, 1, 0), state: '{"by":"two"}', change: { tier: 'affirming', findings: '[]' } }
      await assert.rejects(store.saveResult(result(1, late)), { code: 'STORE_CONFLICT' })
      const silence = { tier: 'none', findings: '[]', silent: true }
      await assert.rejects(store.saveVerdict(version(1, 1, 0), silence, undefined), { code: 'STORE_CONFLICT' })
      const node = await store.node(nodeId(1))
      assert.equal(node?.state, '{"by":"one"}')
      assert.equal(node?.revision, 1)
      assert.deepEqual(await store.verdicts(nodeId(1), 10), [])
    })

    it('notices what an operator has done elsewhere', async () => {
      const place = await newPlace()
      const store = await fresh(place)
      await store.enrol(enrolment(1))
      const before = await store.dataVersion()
      const other = await openStore(place, { exclusive: false, create: false })
      try {
        await operate(other, nodeId(1), { act: 'admit' }, 'anna')
      } finally {
        await other.close()
      }
      assert.notEqual(await store.dataVersion(), before)
      assert.equal((await store.node(nodeId(1)))?.admission, 'admitted')
    })

    it('refuses tables made by a later release', async () => {
      const place = await newPlace()
      const store = await fresh(place)
      await store.query((db) =>
        sql`insert into kysely_migration (name, timestamp) values ('9999-later', '2030')`.execute(db),
      )
      await store.close()
      open.pop()
      await assert.rejects(openStore(place, { exclusive: true, create: true }), { code: 'STORE_VERSION' })
    })

    it('says so when a command is to work on a store that is not there', async () => {
      await assert.rejects(openStore(await newPlace(), { exclusive: false, create: false }), {
        code: 'STORE_UNAVAILABLE',
      })
    })
  })
