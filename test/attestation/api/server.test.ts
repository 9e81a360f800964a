import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { Value } from '@sinclair/typebox/value'
import fastify, { type FastifyInstance } from 'fastify'
import pino from 'pino'
import { TokenAuthenticator } from '../../../attestation/api/index.ts'
import { DESCRIPTION_ROUTE, ROUTES, STREAM_ROUTE } from '../../../attestation/api/routes.ts'
import { ProblemDocument } from '../../../attestation/api/schemas.ts'
import { type ApiOptions, demandAccess, makeApi } from '../../../attestation/api/server.ts'
import { LaunchPolicySet } from '../../../attestation/launch-policy/index.ts'
import { listApiTokens, openStore, revokeApiToken, type Store } from '../../../attestation/store/index.ts'
import { KeyedRateLimit } from '../../../attestation/verifier/rate-limit.ts'
import { type ApiAnswer, ApiClient, allOf } from '../../support/api-client.ts'
import { fleetNodeId, makeToken, podOf, seedEvent, seedLaunch, seedNodes } from '../../support/api-fleet.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { PERMIT_AFFIRMED } from '../../support/verifier.ts'

describe('the API', () => {
  const dir = tempDir()
  const now = new Date('2026-06-15T12:00:00.000Z')
  const launchPolicies = new LaunchPolicySet(new Map([['test.cedar', PERMIT_AFFIRMED]]))
  let store: Store
  let acted = 0
  const open: FastifyInstance[] = []
  const tokens: Record<string, string> = {}

  before(async () => {
    store = await openStore(join(dir.path, 'store.sqlite'), { exclusive: true, create: true, now: () => now })
    await seedNodes(store, [
      { n: 1, labels: { zone: 'a', rack: '1' } },
      { n: 2, labels: { zone: 'a' }, standing: 'failed' },
      { n: 3, labels: { zone: 'b', rack: '1' }, standing: 'pending', admission: 'pending' },
      { n: 4, labels: { zone: 'A' } },
      { n: 5, labels: { x: '"zone":"a"', '"zone': 'a' } },
      { n: 6 },
    ])
    for (const n of [1, 2, 3, 4, 5, 6]) {
      await seedEvent(store, n)
      await seedLaunch(store, n)
    }
    const expiresAt = new Date(now.getTime() + 1000)
    for (const role of ['viewer', 'auditor', 'operator', 'policy-admin', 'admin'] as const) {
      tokens[role] = await makeToken(store, role, role, { expiresAt })
    }
    tokens['limited'] = await makeToken(store, 'limited', 'admin', { expiresAt, labels: { zone: 'a' } })
  })
  afterEach(async () => {
    for (const app of open.splice(0)) await app.close()
  })
  after(async () => {
    await store.close()
    dir.remove()
  })

  const start = async (over: Partial<ApiOptions> = {}): Promise<ApiClient> => {
    const log = pino({ level: 'silent' })
    const sources = {
      ...{ store, now: () => now, launchPolicies: () => launchPolicies, appraisalPolicies: () => undefined },
      operatorActed: () => {
        acted++
      },
      metrics: async () => ({ type: 'text/plain; version=0.0.4', text: 'up 1\n' }),
    }
    const options = {
      ...{ connections: 100, requestMs: 10_000, streams: 10 },
      perAddress: new KeyedRateLimit(10_000, 10_000),
      perPrincipal: new KeyedRateLimit(10_000, 10_000),
      authenticator: new TokenAuthenticator(store, () => now, log),
      ...over,
    }
    const app = await makeApi(sources, options, log)
    open.push(app)
    const address = await app.listen({ host: '127.0.0.1', port: 0 })
    return new ApiClient(Number(new URL(address).port), undefined, tokens['admin'])
  }
  const isProblem = (answer: ApiAnswer, status: number): void => {
    assert.equal(answer.status, status, answer.text)
    assert.match(answer.headers['content-type'] ?? '', /^application\/problem\+json/)
    assert.ok(Value.Check(ProblemDocument, answer.json), answer.text)
    assert.equal(answer.json.status, status)
    assert.doesNotMatch(answer.text, /node_modules|\.ts:|SQLITE|select |at Object/)
  }

  describe('who may', () => {
    it('takes no route that does not say who may use it', async () => {
      const app = fastify()
      demandAccess(app)
      assert.throws(() => app.get('/v1/open', async () => ''), /GET \/v1\/open does not say who may use it/)
      await app.close()
    })

    it('refuses everybody without a good token, wherever they ask', async () => {
      const client = await start()
      const wrong = [undefined, 'x', `hf_${'A'.repeat(43)}`, `${tokens['admin']}x`, tokens['admin']?.toUpperCase()]
      const id = fleetNodeId(1)
      const paths = [...ROUTES, STREAM_ROUTE, DESCRIPTION_ROUTE].map((r) => [r.method, r.path.replace('{id}', id)])
      for (const [method = '', path = ''] of [...paths, ['GET', '/'], ['GET', '/v1/nodes/%ff'], ['PUT', '/v1/nodes']]) {
        for (const token of wrong) {
          const answer = await client.with(token).ask(path.replace('{sha256}', id), { method })
          isProblem(answer, 401)
          assert.match(answer.headers['www-authenticate'] ?? '', /^Bearer /)
        }
      }
    })

    it('refuses a token from the moment on that it is revoked or has expired', async () => {
      const client = await start()
      const token = await makeToken(store, 'ends', 'viewer', { expiresAt: new Date(now.getTime() + 1) })
      assert.equal((await client.with(token).get('/v1/summary')).status, 200)
      await revokeApiToken(store, 'ends', 'tester')
      isProblem(await client.with(token).get('/v1/summary'), 401)
      const expired = await makeToken(store, 'expired', 'admin', { expiresAt: now })
      isProblem(await client.with(expired).get('/v1/summary'), 401)
    })

    it('keeps of a token its digest and the hour of its last use', async () => {
      const client = await start()
      await client.with(tokens['viewer']).get('/v1/summary')
      const kept = (await listApiTokens(store)).find(({ name }) => name === 'viewer')
      assert.equal(kept?.lastUsedAt, '2026-06-15T12:00:00.000Z')
      assert.equal(
        kept?.sha256,
        createHash('sha256')
          .update(tokens['viewer'] ?? '')
          .digest('hex'),
      )
      await assert.rejects(makeToken(store, 'viewer', 'viewer'), { code: 'STORE_CONFLICT' })
    })

    const forbidden: readonly [string, string, string][] = [
      ['viewer', 'GET', '/v1/policies'],
      ['viewer', 'GET', `/v1/evidence/${fleetNodeId(1)}`],
      ['viewer', 'POST', `/v1/nodes/${fleetNodeId(1)}/admit`],
      ['auditor', 'POST', `/v1/nodes/${fleetNodeId(1)}/release`],
      ['policy-admin', 'POST', `/v1/nodes/${fleetNodeId(1)}/refuse`],
      ['policy-admin', 'GET', `/v1/evidence/${fleetNodeId(1)}`],
      ['limited', 'GET', '/v1/policies'],
      ['limited', 'POST', `/v1/nodes/${fleetNodeId(1)}/labels`],
    ]
    for (const [who, method, path] of forbidden) {
      it(`forbids ${who}: ${method} ${path.replace(/[0-9a-f]{64}/, '...')}`, async () => {
        isProblem(await (await start()).with(tokens[who]).ask(path, { method }), 403)
      })
    }
  })

  describe('labels of a token', () => {
    it('limit lists, counts, events and launches to nodes that have them', async () => {
      const client = (await start()).with(tokens['limited'])
      const own = [fleetNodeId(1), fleetNodeId(2)].sort()
      const ids = async (path: string): Promise<string[]> => (await allOf(client, path)).map((i) => i.nodeId).sort()
      for (const path of ['/v1/nodes', '/v1/nodes?order=newest', '/v1/nodes?limit=1', '/v1/nodes?label=zone=a']) {
        assert.deepEqual(await ids(path), own, path)
      }
      for (const path of ['/v1/launches', '/v1/launches?limit=1', '/v1/events', '/v1/events?limit=1']) {
        assert.deepEqual(await ids(path), own, path)
      }
      assert.deepEqual(await ids('/v1/nodes?label=zone=b'), [])
      assert.deepEqual(await ids(`/v1/launches?node=${fleetNodeId(3)}`), [])
      assert.deepEqual(await ids(`/v1/launches?pod=${podOf(3)}`), [])
      assert.deepEqual(await ids(`/v1/events?node=${fleetNodeId(3)}`), [])
      const { json } = await client.get('/v1/summary')
      assert.equal(json.nodes.total, 2)
      assert.deepEqual([json.nodes.byStanding.trusted, json.nodes.byStanding.failed], [1, 1])
      assert.equal(json.nodes.byStanding.pending, 0)
      assert.deepEqual(json.launches, {
        lastHour: { allowed: 2, denied: 0 },
        lastDay: { allowed: 2, denied: 0 },
      })
    })

    it('answer of another node as of one that does not exist, whatever is asked of it', async () => {
      const admin = await start()
      const client = admin.with(tokens['limited'])
      const none = 'f'.repeat(64)
      for (const n of [3, 4, 5, 6]) {
        for (const what of ['', '/verdicts', '/decisions']) {
          const other = await client.get(`/v1/nodes/${fleetNodeId(n)}${what}`)
          const missing = await client.get(`/v1/nodes/${none}${what}`)
          isProblem(other, 404)
          assert.deepEqual({ ...other.json, instance: '' }, { ...missing.json, instance: '' })
        }
        for (const act of ['admit', 'refuse', 'release', 'rebind']) {
          isProblem(await client.post(`/v1/nodes/${fleetNodeId(n)}/${act}`), 404)
        }
        const [launch] = await allOf(admin, `/v1/launches?node=${fleetNodeId(n)}`)
        isProblem(await client.get(`/v1/launches/${launch.id}`), 404)
        isProblem(await client.get(`/v1/evidence/${launch.evidenceSha256}`), 404)
      }
      const [own] = await allOf(client, `/v1/launches?node=${fleetNodeId(1)}`)
      assert.equal((await client.get(`/v1/launches/${own.id}`)).json.nodeId, fleetNodeId(1))
      assert.equal((await client.get(`/v1/evidence/${own.evidenceSha256}`)).status, 200)
    })

    it('hold for a cursor of another token too, and for policies that are kept as evidence', async () => {
      const admin = await start()
      const { next } = (await admin.get('/v1/nodes?limit=1')).json
      const rest = await admin.with(tokens['limited']).get(`/v1/nodes?cursor=${next}`)
      assert.ok(rest.json.items.every((n: { labels: { zone: string } }) => n.labels.zone === 'a'))
      const { canonical, revision } = launchPolicies
      await store.saveEvidence({ sha256: revision, kind: 'policy-set', bytes: canonical })
      const kept = await admin.get(`/v1/evidence/${revision}`)
      assert.deepEqual([kept.status, kept.headers['content-type']], [200, 'application/json'])
      isProblem(await admin.with(tokens['limited']).get(`/v1/evidence/${revision}`), 404)
    })
  })

  describe('answers', () => {
    it('are as the schemas say', async () => {
      const client = await start()
      const [launch] = await allOf(client, '/v1/launches?limit=1')
      for (const route of ROUTES) {
        if (route.method !== 'GET' || route.answers === undefined) continue
        if (route.path.includes('{sha256}')) continue // of real evidence only: node-facts.test.ts
        const path = route.path.startsWith('/v1/launches/') ? `/v1/launches/${launch.id}` : route.path
        const { json, status } = await client.get(path.replace('{id}', fleetNodeId(1)))
        assert.equal(status, 200, path)
        assert.deepEqual([...Value.Errors(route.answers, json)], [], path)
      }
    })

    it('can be filtered by standing, admission, labels, outcome, node, pod and time', async () => {
      const client = await start()
      await seedLaunch(store, 6, { outcome: 'denied', at: '2026-06-15T10:00:00.000Z' })
      await seedLaunch(store, 6, { outcome: 'denied', at: '2026-06-13T10:00:00.000Z' })
      const count = async (path: string): Promise<number> => (await allOf(client, path)).length
      assert.equal(await count('/v1/nodes?standing=failed'), 1)
      assert.equal(await count('/v1/nodes?admission=pending'), 1)
      assert.equal(await count('/v1/nodes?label=rack%3D1'), 2)
      assert.equal(await count('/v1/nodes?label=rack=1&label=zone=b'), 1)
      assert.equal(await count('/v1/launches?outcome=denied'), 2)
      assert.equal(await count(`/v1/launches?pod=${podOf(6)}`), 3)
      assert.equal(await count('/v1/launches?outcome=denied&since=2026-06-15T10:00:00Z'), 1)
      assert.equal(await count('/v1/launches?until=2026-06-15T12:00:00%2B02:00'), 1)
      assert.equal(await count(`/v1/nodes/${fleetNodeId(6)}/decisions?limit=1`), 3)
      assert.equal(await count(`/v1/events?node=${fleetNodeId(1)}&standing=trusted`), 1)
      assert.equal(await count('/v1/events?standing=stale'), 0)
      const { launches } = (await client.get('/v1/summary')).json
      assert.deepEqual(launches, { lastHour: { allowed: 6, denied: 0 }, lastDay: { allowed: 6, denied: 1 } })
    })

    it('have a tag, by which one that is known is not sent again', async () => {
      const client = await start()
      const path = `/v1/nodes/${fleetNodeId(1)}`
      const first = await client.get(path)
      const tag = first.headers.etag ?? ''
      for (const known of [tag, `W/${tag}`, `"other", ${tag}`, '*']) {
        const again = await client.get(path, { 'if-none-match': known })
        assert.deepEqual([again.status, again.text, again.headers.etag], [304, '', tag])
      }
      assert.equal((await client.get(path, { 'if-none-match': '"other"' })).status, 200)
      isProblem(await client.with(undefined).get(path, { 'if-none-match': '*' }), 401)
      const head = await client.ask(path, { method: 'HEAD' })
      assert.deepEqual([head.status, head.text, head.headers.etag], [200, '', tag])
    })

    it('give evidence as it was kept, for good', async () => {
      const client = await start()
      const [launch] = await allOf(client, `/v1/launches?node=${fleetNodeId(1)}`)
      const { bytes, headers } = await client.get(`/v1/evidence/${launch.evidenceSha256}`)
      assert.equal(createHash('sha256').update(bytes).digest('hex'), launch.evidenceSha256)
      assert.equal(headers['content-type'], 'application/cbor')
      assert.match(headers['cache-control'] ?? '', /private.*immutable/)
    })

    it('have headers against misuse in a browser, refusals too', async () => {
      const client = await start()
      for (const answer of [await client.get('/v1/summary'), await client.get('/none')]) {
        assert.equal(answer.headers['x-content-type-options'], 'nosniff')
        assert.match(String(answer.headers['content-security-policy']), /default-src 'none'/)
        assert.equal(answer.headers.vary, 'Authorization')
      }
    })
  })

  describe('acts', () => {
    it('change the node, are kept with the name of the token, and are told to the verifier', async () => {
      const client = await start()
      const id = fleetNodeId(3)
      const before = acted
      const admitted = await client.with(tokens['operator']).post(`/v1/nodes/${id}/admit`, {})
      assert.deepEqual([admitted.status, admitted.json.admission], [200, 'admitted'])
      const labelled = await client.post(`/v1/nodes/${id}/labels`, { set: { tier: 'gold' }, remove: ['rack'] })
      assert.deepEqual(labelled.json.labels, { zone: 'b', tier: 'gold' })
      assert.equal((await client.with(tokens['limited']).post(`/v1/nodes/${fleetNodeId(2)}/refuse`)).status, 200)
      const acts = await store.query((db) =>
        db
          .selectFrom('operator_acts')
          .select(['operator', 'act', 'node_id'])
          .where('node_id', 'is not', null)
          .execute(),
      )
      assert.deepEqual(acts, [
        { operator: 'token operator', act: 'admit', node_id: id },
        { operator: 'token admin', act: 'label', node_id: id },
        { operator: 'token limited', act: 'refuse', node_id: fleetNodeId(2) },
      ])
      assert.equal(acted - before, 3)
    })
  })

  describe('hostile requests', () => {
    const refused: readonly [string, string, string][] = [
      ['a parameter that there is not', '/v1/nodes?nope=1', 'nope'],
      ['a limit of nothing', '/v1/nodes?limit=0', 'limit'],
      ['a limit that is too high', '/v1/nodes?limit=501', 'limit'],
      ['a limit that is no number', '/v1/launches?limit=1e2', 'limit'],
      ['two limits', '/v1/nodes?limit=1&limit=2', 'limit'],
      ['a standing that there is not', '/v1/nodes?standing=good', 'standing'],
      ['a label without a value', '/v1/nodes?label=zone', 'label'],
      ['the same label twice', '/v1/nodes?label=zone=a&label=zone=b', 'label'],
      ['nine labels', `/v1/nodes?${Array.from({ length: 9 }, (_, i) => `label=k${i}=v`).join('&')}`, 'label'],
      ['a label that is no UTF-8', '/v1/nodes?label=a%3D%ff%fe', 'label'],
      ['a NUL', '/v1/nodes?label=a%3D%00', 'label'],
      ['a cursor that is none', '/v1/nodes?cursor=abc', 'cursor'],
      ['a cursor of another list', '/v1/events?cursor=WyJsYXVuY2hlcyIsMV0', 'cursor'],
      ['a node that is none', '/v1/nodes/xyz', 'id'],
      ['a launch of no number', '/v1/launches/-1', 'id'],
      ['a launch beyond all numbers', '/v1/launches/99999999999999999999', 'id'],
      ['a time that is none', '/v1/launches?since=2026-13-45T99:99:99Z', 'since'],
      ['a time without a zone', '/v1/events?until=2026-01-01T00:00:00', 'until'],
      ['__proto__', '/v1/nodes?__proto__=1', '__proto__'],
    ]
    for (const [what, path, parameter] of refused) {
      it(`with ${what} are refused by the parameter's name`, async () => {
        const answer = await (await start()).get(path)
        isProblem(answer, 400)
        assert.deepEqual(
          answer.json.errors.map((e: { parameter: string }) => e.parameter),
          [parameter],
        )
      })
    }

    it('have the status of what is wrong with them', async () => {
      const client = await start()
      const json = { 'content-type': 'application/json' }
      const path = `/v1/nodes/${fleetNodeId(1)}/labels`
      const post = async (body: string, headers: Record<string, string> = json) =>
        await client.ask(path, { method: 'POST', body, headers })
      isProblem(await client.get('/v1/nothing'), 404)
      for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND']) {
        const answer = await client.ask('/v1/nodes', { method })
        isProblem(answer, 405)
        assert.equal(answer.headers.allow, 'GET, HEAD')
      }
      isProblem(await client.get(path), 405)
      isProblem(await client.get('/v1/nodes/%ff'), 400)
      isProblem(await client.get(`/v1/nodes/${'a'.repeat(101)}`), 414)
      isProblem(await post('{}', { 'content-type': 'text/plain' }), 415)
      isProblem(await post('{}', { 'content-type': 'application/cbor' }), 415)
      isProblem(await post('{'), 400)
      isProblem(await post('{"__proto__": {"x": 1}}'), 400)
      isProblem(await post(`{"set": {"a": "${'x'.repeat(17_000)}"}}`), 413)
      isProblem(await post('{}', { ...json, 'content-length': '999999' }), 413)
      const unfit = await post('{"set": {"a": 7}, "remove": "b"}')
      isProblem(unfit, 400)
      assert.deepEqual(unfit.json.errors.map((e: { pointer: string }) => e.pointer).sort(), ['/remove', '/set/a'])
      isProblem(await client.get('/v1/events/stream', { 'last-event-id': '-1' }), 400)
      isProblem(await client.get('/v1/events/stream?x=1'), 400)
    })

    it('that come too often are told to wait, of one token and of one address', async () => {
      const perToken = await start({ perPrincipal: new KeyedRateLimit(0.001, 2) })
      assert.equal((await perToken.get('/v1/summary')).status, 200)
      for (let i = 0; i < 2; i++) await perToken.get('/v1/summary')
      const waits = await perToken.get('/v1/summary')
      isProblem(waits, 429)
      assert.ok(Number(waits.headers['retry-after']) > 0)
      assert.equal((await perToken.with(tokens['viewer']).get('/v1/summary')).status, 200)
      const perAddress = await start({ perAddress: new KeyedRateLimit(0.001, 5) })
      isProblem(await perAddress.with(`hf_${'B'.repeat(43)}`).get('/v1/summary'), 401)
      isProblem(await perAddress.get('/v1/summary'), 429) // a wrong guess has cost more than a request
    })

    it('cost their token the time that they took, also when they fail', async () => {
      const charged: [string, boolean][] = []
      const perPrincipal = {
        ...{ take: () => true, waitMs: () => 0 },
        charge: (key: string, _nowMs: number, amount: number) => charged.push([key, amount > 0]),
      }
      const client = await start({ perPrincipal })
      await client.get('/v1/summary')
      await client.get(`/v1/nodes/${'f'.repeat(64)}`)
      await client.get('/v1/nodes?limit=0')
      assert.deepEqual(charged, [
        ['token admin', true],
        ['token admin', true],
      ])
    })

    const raw = async (client: ApiClient, text: string): Promise<{ socket: Socket; answer: Promise<string> }> => {
      const socket = connect(client.port, '127.0.0.1')
      let answer = ''
      socket.setEncoding('utf8').on('data', (part: string) => {
        answer += part
      })
      socket.on('error', () => {}) // a reset is an end too
      const closed = once(socket, 'close').then(() => answer)
      await once(socket, 'connect')
      socket.write(text)
      return { socket, answer: closed }
    }
    const unreadable: readonly [string, string, number][] = [
      ['are no HTTP', 'nonsense\r\n\r\n', 400],
      ['have headers of many kilobytes', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
      [
        'have a length and chunks',
        'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        400,
      ],
      ['have a NUL in a header', 'GET / HTTP/1.1\r\nHost: x\r\nX: a\u0000b\r\n\r\n', 400],
    ]
    for (const [what, text, status] of unreadable) {
      it(`that ${what} are refused with ${status}, and the connection ends`, async () => {
        const { answer } = await raw(await start(), text)
        assert.match(
          await answer,
          new RegExp(`^HTTP/1.1 ${status} [^]*application/problem\\+json[^]*"status":${status}`),
        )
      })
    }

    const slow: readonly [string, string][] = [
      ['headers', 'GET /v1/summary HTTP/1.1\r\nHost: x\r\n'],
      ['body', 'POST /v1/summary HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{'],
    ]
    for (const [what, text] of slow) {
      it(`whose ${what} never come to their end are cut off`, async () => {
        const { answer } = await raw(await start({ requestMs: 50 }), text)
        assert.match(await answer, /^HTTP\/1\.1 (408|401) /)
      })
    }

    it('fail without a word of why, which is in the log', async () => {
      const broken = { authenticate: async () => Promise.reject(new Error('secret detail SQLITE_ERROR select *')) }
      isProblem(await (await start({ authenticator: broken })).get('/v1/summary'), 500)
    })
  })
})
