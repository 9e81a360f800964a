import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Value } from '@sinclair/typebox/value'
import type { FastifyInstance } from 'fastify'
import pino from 'pino'
import { FLEET_VIEW_ROUTES } from '../../../attestation/api/fleet-view-routes.ts'
import { TokenAuthenticator } from '../../../attestation/api/index.ts'
import { makeApi } from '../../../attestation/api/server.ts'
import { LaunchPolicySet } from '../../../attestation/launch-policy/index.ts'
import { openStore, type Store } from '../../../attestation/store/index.ts'
import { KeyedRateLimit } from '../../../attestation/verifier/rate-limit.ts'
import { type ApiAnswer, ApiClient } from '../../support/api-client.ts'
import { fleetNodeId, makeToken, seedLaunch, seedNodes } from '../../support/api-fleet.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { PERMIT_AFFIRMED } from '../../support/verifier.ts'

describe('what the dashboard asks of a fleet', () => {
  const dir = tempDir()
  const now = new Date('2026-06-15T12:05:00.000Z')
  let store: Store
  let app: FastifyInstance
  let all: ApiClient
  let limited: ApiClient
  let viewer: ApiClient

  before(async () => {
    store = await openStore(join(dir.path, 'store.sqlite'), { exclusive: true, create: true, now: () => now })
    const createdAt = '2026-06-01T00:00:00.000Z'
    await seedNodes(store, [
      { n: 1, labels: { zone: 'a', rack: 'r10' }, createdAt },
      { n: 2, labels: { zone: 'a', rack: 'r2' }, standing: 'failed', createdAt },
      { n: 3, labels: { zone: 'b', rack: 'r2' }, standing: 'pending', createdAt: '2026-06-15T11:00:00.000Z' },
      { n: 4, createdAt },
    ])
    await change(2, 'trusted', 'failed', '2026-06-15T11:31:00.000Z')
    await seedLaunch(store, 1, { at: '2026-06-15T11:32:00.000Z' })
    await seedLaunch(store, 2, { at: '2026-06-15T11:33:00.000Z', outcome: 'denied' })
    await store.transact(async (tx) => {
      const evidence_sha256 = 'e'.repeat(64)
      const findings = JSON.stringify([{ rule: 'boot.replay', message: 'PCR 4 does not replay' }])
      const values = { at: '2026-06-15T11:40:00.000Z', node_id: fleetNodeId(2), findings, evidence_sha256 }
      await tx
        .insertInto('verdicts')
        .values({ ...values, tier: 'contraindicated' })
        .execute()
      const act = { at: values.at, operator: 'token me', act: 'release', node_id: fleetNodeId(2), detail: '{}' }
      await tx.insertInto('operator_acts').values(act).execute()
    })
    const log = pino({ level: 'silent' })
    const launchPolicies = new LaunchPolicySet(new Map([['test.cedar', PERMIT_AFFIRMED]]))
    const sources = { store, now: () => now, launchPolicies: () => launchPolicies, appraisalPolicies: () => undefined }
    const options = {
      ...{ connections: 100, requestMs: 10_000, streams: 10 },
      perAddress: new KeyedRateLimit(10_000, 10_000),
      perPrincipal: new KeyedRateLimit(10_000, 10_000),
      authenticator: new TokenAuthenticator(store, () => now, log),
    }
    const noMetrics = async () => ({ type: 'text/plain', text: '' })
    app = await makeApi({ ...sources, operatorActed: () => {}, metrics: noMetrics }, options, log)
    const port = Number(new URL(await app.listen({ host: '127.0.0.1', port: 0 })).port)
    const expiresAt = new Date(now.getTime() + 1000)
    all = new ApiClient(port, undefined, await makeToken(store, 'all', 'auditor', { expiresAt }))
    viewer = all.with(await makeToken(store, 'viewer', 'viewer', { expiresAt }))
    limited = all.with(await makeToken(store, 'limited', 'auditor', { expiresAt, labels: { zone: 'b' } }))
  })
  after(async () => {
    await app?.close()
    await store?.close()
    dir.remove()
  })

  async function change(n: number, from: string, to: string, at: string): Promise<void> {
    await store.transact(async (tx) => {
      await tx
        .insertInto('node_events')
        .values({ at, node_id: fleetNodeId(n), from, to, reasons: '[]' })
        .execute()
    })
  }
  /** The answer, which is as its schema says. */
  const answered = (answer: ApiAnswer, path: string): ApiAnswer['json'] => {
    assert.equal(answer.status, 200, answer.text)
    const schema = FLEET_VIEW_ROUTES.find((r) => r.path === path)?.answers
    assert.ok(schema !== undefined && Value.Check(schema, answer.json), answer.text)
    return answer.json
  }
  const idsOf = (group: { readonly ids: string }): string[] =>
    Buffer.from(group.ids, 'base64').toString('hex').match(/.{12}/g) ?? []

  it('has each node once in the map, in the group of its label and in order of ID', async () => {
    const map = answered(await all.get('/v1/fleet/map?by=rack'), '/v1/fleet/map')
    assert.deepEqual(
      map.groups.map((g: { value: string }) => g.value),
      ['r2', 'r10', null],
    )
    assert.deepEqual(map.keys, [
      { key: 'rack', values: 2 },
      { key: 'zone', values: 2 },
    ])
    assert.equal(map.total, 4)
    const r2 = [2, 3].map(fleetNodeId).sort()
    assert.deepEqual(
      idsOf(map.groups[0]),
      r2.map((id) => id.slice(0, 12)),
    )
    const standings = [...map.groups[0].standing].map((digit) => map.standings[Number(digit)])
    assert.deepEqual(
      standings,
      r2.map((id) => (id === fleetNodeId(2) ? 'failed' : 'pending')),
    )
  })

  it('finds nodes by the beginning of their ID and by host name', async () => {
    const found = async (q: string): Promise<string[]> =>
      answered(await all.get(`/v1/fleet/search?q=${q}`), '/v1/fleet/search').items.map(
        (n: { nodeId: string }) => n.nodeId,
      )
    assert.deepEqual(await found(fleetNodeId(3).slice(0, 12)), [fleetNodeId(3)])
    assert.deepEqual(await found('HOST2'), [fleetNodeId(2)])
    assert.deepEqual(await found('hostname'), [])
    assert.deepEqual(await found('%25%25'), [])
    assert.equal((await all.get('/v1/fleet/search?q=x')).status, 400)
  })

  it('tells how the fleet stood before each change, and when a node was not there yet', async () => {
    const { points } = answered(await all.get('/v1/fleet/trend'), '/v1/fleet/trend')
    const at = (time: string) => points.find((p: { at: string }) => p.at === `2026-06-15T${time}:00.000Z`)
    assert.equal(points.length, 144)
    assert.deepEqual(
      [at('12:00').standing.failed, at('12:00').standing.trusted, at('12:00').standing.pending],
      [1, 2, 1],
    )
    assert.deepEqual([at('11:20').standing.failed, at('11:20').standing.trusted], [0, 3])
    assert.equal(at('11:00').standing.pending, 1)
    assert.equal(at('10:50').standing.pending, 0)
    assert.deepEqual(at('11:30').launches, { allowed: 1, denied: 1 })
  })

  it('tells of a verdict against a node when it was last good', async () => {
    const { items } = answered(await all.get('/v1/fleet/detections'), '/v1/fleet/detections')
    assert.equal(items.length, 1)
    assert.equal(items[0].rule, 'boot.replay')
    assert.equal(items[0].lastGoodAt, '2026-06-15T11:33:00.000Z')
  })

  it('has facts and acts of a node', async () => {
    const path = `/v1/nodes/${fleetNodeId(2)}`
    const facts = answered(await all.get(`${path}/facts`), '/v1/nodes/{id}/facts')
    assert.deepEqual([facts.clock, facts.boot, facts.registers, facts.pods], [null, null, [], []])
    const { items } = answered(await all.get(`${path}/acts`), '/v1/nodes/{id}/acts')
    assert.deepEqual(
      items.map((a: { act: string }) => a.act),
      ['release'],
    )
  })

  it('shows a limited token its own nodes alone', async () => {
    assert.equal((await limited.get('/v1/fleet/map')).json.total, 1)
    assert.deepEqual((await limited.get('/v1/fleet/search?q=host2')).json.items, [])
    assert.deepEqual((await limited.get(`/v1/fleet/search?q=${fleetNodeId(2).slice(0, 12)}`)).json.items, [])
    assert.deepEqual((await limited.get('/v1/fleet/detections')).json.items, [])
    const { points } = (await limited.get('/v1/fleet/trend')).json
    assert.deepEqual(points[143].standing, { trusted: 0, warning: 0, failed: 0, stale: 0, pending: 1, quarantined: 0 })
    assert.ok(points.every((p: { launches: { denied: number } }) => p.launches.denied === 0))
    for (const part of ['facts', 'acts']) {
      assert.equal((await limited.get(`/v1/nodes/${fleetNodeId(2)}/${part}`)).status, 404)
    }
  })

  it('reads evidence for who may have it, and says nothing of bytes that are none', async () => {
    const sha256 = await seedLaunch(store, 1)
    assert.equal((await viewer.get(`/v1/evidence/${sha256}/facts`)).status, 403)
    assert.equal((await all.get(`/v1/evidence/${sha256}/facts`)).status, 404)
  })
})
