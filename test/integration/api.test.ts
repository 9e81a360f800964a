import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:tls'
import { revokeApiToken } from '../../attestation/store/index.ts'
import { ApiClient, allOf } from '../support/api-client.ts'
import { fleetNodeId, makeToken, seedEvent, seedLaunch, seedNodes } from '../support/api-fleet.ts'
import { startFleet } from '../support/fleet.ts'
import { startTestVerifier, type TestVerifier } from '../support/verifier.ts'

const API = 'api:\n  listen: 127.0.0.1:0\n  requestsPerSecond: 100000\n  requestsPerAddressPerSecond: 100000\n'

/** What is looked at of the description. */
interface OpenApiDocument {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string }
  readonly security: unknown
  readonly components: { readonly securitySchemes: { readonly token: unknown } }
  readonly paths: Record<string, Record<string, Operation>>
}
interface Operation {
  readonly operationId: string
  readonly parameters?: readonly { name: string; in: string; required: boolean; schema: object }[]
  readonly responses: { readonly default: Answer } & Record<string, Answer>
}
interface Answer {
  readonly description: unknown
  readonly content: object
}

/** Where the verifier that was started last says that its API listens. */
function apiPort(verifier: TestVerifier): number {
  const lines = verifier.logLines().filter(({ msg }) => msg === 'the API listens')
  return Number(lines[lines.length - 1]?.['port'])
}

/** Events of a stream as they come. */
class EventReader {
  readonly #response: IncomingMessage
  #text = ''
  constructor(response: IncomingMessage) {
    this.#response = response.setEncoding('utf8')
  }

  async next(): Promise<{ readonly id: number; readonly nodeId: string; readonly to: string }> {
    for (;;) {
      const end = this.#text.indexOf('\n\n')
      if (end >= 0) {
        const frame = this.#text.slice(0, end)
        this.#text = this.#text.slice(end + 2)
        const data = /^data: (.*)$/m.exec(frame)?.[1]
        if (data === undefined) continue
        const event = JSON.parse(data)
        assert.equal(Number(/^id: (\d+)$/m.exec(frame)?.[1]), event.id)
        return event
      }
      const part = this.#response.read()
      if (part !== null) this.#text += part
      else if (this.#response.readableEnded) throw new Error('the stream has ended')
      else await Promise.race([once(this.#response, 'readable'), once(this.#response, 'end')])
    }
  }

  close(): void {
    this.#response.destroy()
  }
}

describe("the verifier's API over TLS", () => {
  let verifier: TestVerifier
  let client: ApiClient
  before(async () => {
    verifier = await startTestVerifier({ settings: API })
    const token = await verifier.withStore((store) => makeToken(store, 'admin', 'admin'))
    client = new ApiClient(apiPort(verifier), verifier.ca, token)
  })
  after(async () => await verifier.stop())

  it('is not there where it is not configured', async () => {
    const without = await startTestVerifier()
    try {
      assert.equal(Number.isNaN(apiPort(without)), true)
      const answer = new ApiClient(without.port, without.ca, client.token).get('/v1/nodes')
      assert.equal((await answer).status, 404)
    } finally {
      await without.stop()
    }
  })

  it('fails the start where its address cannot be had, and lets go of everything', async () => {
    const settings = `api:\n  listen: 127.0.0.1:${client.port}\n`
    await assert.rejects(startTestVerifier({ settings }), {
      code: 'VERIFIER_LISTEN_FAILED',
      message: new RegExp(`api\\.listen, 127\\.0\\.0\\.1 port ${client.port}`),
    })
  })

  it('speaks TLS 1.3 with the certificate of the verifier, and nothing else', async () => {
    const socket = connect({ host: '127.0.0.1', port: client.port, ca: client.ca, servername: 'localhost' })
    await once(socket, 'secureConnect')
    assert.equal(socket.getProtocol(), 'TLSv1.3')
    socket.destroy()
    const old = connect({ host: '127.0.0.1', port: client.port, ca: client.ca, maxVersion: 'TLSv1.2' })
    await assert.rejects(once(old, 'secureConnect'))
    await assert.rejects(new ApiClient(client.port, undefined, client.token).get('/v1/nodes'))
  })

  it('speaks clear text on loopback where that is said', async () => {
    const plain = await startTestVerifier({ settings: `${API}  plainHttp: true\n` })
    try {
      const open = new ApiClient(apiPort(plain), undefined)
      assert.equal((await open.get('/v1/nodes')).status, 401)
      const token = await plain.withStore((store) => makeToken(store, 'x', 'viewer'))
      assert.equal((await open.with(token).get('/v1/nodes')).status, 200)
    } finally {
      await plain.stop()
    }
  })

  it('pages through 2,000 nodes without a gap or a double while more are added', async () => {
    const old = Array.from({ length: 2000 }, (_, n) => ({ n, labels: { shard: String(n % 2) } }))
    await verifier.withStore((store) => seedNodes(store, old))
    let n = 2000
    const addSome = async (): Promise<void> => {
      const some = Array.from({ length: 10 }, () => ({ n: n++, labels: { shard: '1' } }))
      await verifier.withStore((store) => seedNodes(store, some))
    }
    const expected = old.map((node) => fleetNodeId(node.n))
    for (const path of ['/v1/nodes?limit=150', '/v1/nodes?limit=150&order=newest']) {
      const seen: string[] = (await allOf(client, path, addSome)).map(({ nodeId }) => nodeId)
      assert.equal(new Set(seen).size, seen.length, 'no double')
      const found = new Set(seen)
      assert.deepEqual(
        expected.filter((id) => !found.has(id)),
        [],
        'no gap',
      )
    }
    const half = await allOf(client, '/v1/nodes?limit=500&label=shard=0', addSome)
    assert.equal(half.length, 1000)
    const token = await verifier.withStore((s) => makeToken(s, 'half', 'viewer', { labels: { shard: '0' } }))
    const limited = client.with(token)
    assert.deepEqual(
      (await allOf(limited, '/v1/nodes?limit=500', addSome)).map(({ nodeId }) => nodeId),
      half.map(({ nodeId }) => nodeId),
    )
    assert.equal((await limited.get('/v1/summary')).json.nodes.total, 1000)
    assert.equal((await client.get('/v1/summary')).json.nodes.total, n)
  })

  it('pages through launches and events while more are added', async () => {
    await verifier.withStore(async (store) => {
      for (let i = 0; i < 60; i++) {
        await seedLaunch(store, i)
        await seedEvent(store, i)
      }
    })
    const more = async (): Promise<void> => {
      await verifier.withStore(async (store) => {
        await seedLaunch(store, 1)
        await seedEvent(store, 1)
      })
    }
    for (const path of ['/v1/launches?limit=7', '/v1/events?limit=7']) {
      const before = (await allOf(client, path)).map(({ id }) => id)
      const during = (await allOf(client, path, more)).map(({ id }) => id)
      assert.deepEqual(during, before, 'those that were added are newer than where it began')
    }
  })

  it('tells of changes as they come, and goes on where a reader was, also over a restart', async () => {
    const first = new EventReader(await client.open('/v1/events/stream'))
    await verifier.withStore((store) => seedEvent(store, 5, 'failed'))
    const one = await first.next()
    assert.deepEqual([one.nodeId, one.to], [fleetNodeId(5), 'failed'])
    first.close()
    await verifier.withStore(async (store) => {
      await seedEvent(store, 6, 'stale')
      await seedEvent(store, 7, 'failed')
    })
    await verifier.restart()
    client = new ApiClient(apiPort(verifier), verifier.ca, client.token)
    await verifier.withStore((store) => seedEvent(store, 8, 'trusted'))
    const headers = { 'last-event-id': String(one.id) }
    const again = new EventReader(await client.open('/v1/events/stream', { headers }))
    const told = [await again.next(), await again.next(), await again.next()]
    again.close()
    assert.deepEqual(
      told.map(({ id, nodeId, to }) => [id - one.id, nodeId, to]),
      [
        [1, fleetNodeId(6), 'stale'],
        [2, fleetNodeId(7), 'failed'],
        [3, fleetNodeId(8), 'trusted'],
      ],
    )
  })

  it('tells a reader whose token has been revoked nothing more', async () => {
    const token = await verifier.withStore((store) => makeToken(store, 'reader', 'viewer'))
    const reader = new EventReader(await client.with(token).open('/v1/events/stream'))
    await verifier.withStore(async (store) => {
      await revokeApiToken(store, 'reader', 'tester')
      await seedEvent(store, 9)
    })
    await assert.rejects(reader.next(), /the stream has ended/)
  })

  it('carries out an act, which is an event at once', async () => {
    const reader = new EventReader(await client.open('/v1/events/stream'))
    const answer = await client.post(`/v1/nodes/${fleetNodeId(10)}/refuse`)
    assert.deepEqual([answer.status, answer.json.standing], [200, 'quarantined'])
    const event = await reader.next()
    reader.close()
    assert.deepEqual([event.nodeId, event.to], [fleetNodeId(10), 'quarantined'])
  })

  it('carries out an act that the connection of the node notices: nothing is written by another program then', async () => {
    const fleet = await startFleet(1, { settings: API })
    try {
      const token = await fleet.verifier.withStore((store) => makeToken(store, 'x', 'operator'))
      await fleet.verifier.restart() // what another connection has written to the store is behind it
      const peer = await fleet.proven(0)
      const operator = new ApiClient(apiPort(fleet.verifier), fleet.verifier.ca, token)
      assert.equal((await operator.post(`/v1/nodes/${peer.node.nodeId}/release`)).status, 200)
      assert.equal(await peer.refused(), 'NODE_CHANGED')
    } finally {
      await fleet.stop()
    }
  })

  it('ends in order while readers are connected', async () => {
    const other = await startTestVerifier({ settings: API })
    const token = await other.withStore((store) => makeToken(store, 'x', 'viewer'))
    const reader = new EventReader(await new ApiClient(apiPort(other), other.ca, token).open('/v1/events/stream'))
    await other.stop()
    await assert.rejects(reader.next())
  })

  describe('is described as OpenAPI 3.1', () => {
    let document: OpenApiDocument
    before(async () => {
      document = (await client.get('/v1/openapi.json')).json
    })

    it('with every address that it has', () => {
      assert.match(document.openapi, /^3\.1\.\d+$/)
      assert.ok(document.info.title !== '' && document.info.version !== '')
      assert.deepEqual(Object.keys(document.paths).sort(), [
        '/metrics',
        '/v1/events',
        '/v1/events/stream',
        '/v1/evidence/{sha256}',
        '/v1/evidence/{sha256}/facts',
        '/v1/fleet/detections',
        '/v1/fleet/map',
        '/v1/fleet/search',
        '/v1/fleet/trend',
        '/v1/launches',
        '/v1/launches/{id}',
        '/v1/nodes',
        '/v1/nodes/{id}',
        '/v1/nodes/{id}/acts',
        '/v1/nodes/{id}/admit',
        '/v1/nodes/{id}/decisions',
        '/v1/nodes/{id}/facts',
        '/v1/nodes/{id}/labels',
        '/v1/nodes/{id}/rebind',
        '/v1/nodes/{id}/refuse',
        '/v1/nodes/{id}/release',
        '/v1/nodes/{id}/verdicts',
        '/v1/openapi.json',
        '/v1/policies',
        '/v1/summary',
      ])
    })

    it('with a token for all of it', () => {
      assert.deepEqual(document.security, [{ token: [] }])
      assert.deepEqual(document.components.securitySchemes.token, { type: 'http', scheme: 'bearer' })
    })

    it('with parameters, answers and refusals of each operation', () => {
      const ids = new Set<string>()
      for (const [path, item] of Object.entries(document.paths)) {
        for (const [method, operation] of Object.entries(item)) {
          assert.ok(['get', 'post'].includes(method), path)
          assert.ok(!ids.has(operation.operationId), operation.operationId)
          ids.add(operation.operationId)
          const parameters = operation.parameters ?? []
          for (const parameter of parameters) {
            assert.ok(['path', 'query'].includes(parameter.in) && Object.keys(parameter.schema).length > 0)
            assert.ok(parameter.in !== 'path' || parameter.required)
          }
          assert.deepEqual(
            parameters.filter((p) => p.in === 'path').map((p) => p.name),
            [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
          )
          for (const [status, response] of Object.entries(operation.responses)) {
            assert.match(status, /^(200|default)$/)
            assert.ok(typeof response.description === 'string' && Object.keys(response.content).length > 0, path)
          }
          assert.deepEqual(Object.keys(operation.responses.default.content), ['application/problem+json'])
        }
      }
    })

    it('without a reference that leads nowhere, or a word of OpenAPI 3.0', () => {
      const text = JSON.stringify(document)
      assert.doesNotMatch(text, /"\$ref"|"nullable"/)
    })
  })
})
