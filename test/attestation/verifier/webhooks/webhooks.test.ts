import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import pino, { type Logger } from 'pino'
import { STANDINGS, type Standing } from '../../../../attestation/appraisal/index.ts'
import { utf8 } from '../../../../attestation/base/index.ts'
import { openStore, operate, type Store } from '../../../../attestation/store/index.ts'
import { WebhookDeliverer } from '../../../../attestation/verifier/webhooks/index.ts'
import { tempDir } from '../../../support/temp-dir.ts'

const SECRET = utf8('a secret of the receiver')
const NODE = 'ab'.repeat(32)

interface Received {
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** A receiver that answers each post with the next of `statuses`, then with 204. */
class Receiver {
  readonly posts: Received[] = []
  readonly statuses: number[] = []
  readonly #server: Server
  readonly #wake: (() => void)[] = []

  constructor() {
    this.#server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => {
        this.posts.push({ headers: request.headers, body })
        const status = this.statuses.shift() ?? 204
        response.writeHead(status, status === 302 ? { location: this.url } : {}).end()
        for (const wake of this.#wake.splice(0)) wake()
      })
    })
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
  }

  async until(posts: number): Promise<void> {
    while (this.posts.length < posts) await new Promise<void>((resolve) => this.#wake.push(resolve))
  }

  close(): Promise<void> {
    this.#server.closeAllConnections()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }
}

describe('webhooks', () => {
  let store: Store
  let remove: () => void
  let receiver: Receiver
  let deliverers: WebhookDeliverer[]
  beforeEach(async () => {
    const dir = tempDir()
    remove = dir.remove
    store = await openStore(join(dir.path, 'store.sqlite'), { exclusive: false, create: true })
    await store.enrol({
      nodeId: NODE,
      ekPublic: Uint8Array.of(1),
      ak: { public: Uint8Array.of(2), name: '000b', certificate: Uint8Array.of(3) },
      attributes: { hostname: 'node.example' },
      admission: { kind: 'listed' },
    })
    receiver = new Receiver()
    await receiver.listen()
    deliverers = []
  })
  afterEach(async () => {
    for (const deliverer of deliverers) await deliverer.stop()
    await receiver.close()
    await store.close()
    remove()
  })

  const deliver = (
    standings: readonly Standing[] = STANDINGS,
    { url, log }: { readonly url: string; readonly log: Logger } = {
      url: receiver.url,
      log: pino({ level: 'silent' }),
    },
  ): WebhookDeliverer => {
    const parts = {
      store,
      verifierId: 'cd'.repeat(32),
      log,
      now: () => new Date(),
      intervalMs: 1,
    }
    const made = new WebhookDeliverer([{ url, secret: SECRET, standings: new Set(standings) }], parts)
    deliverers.push(made)
    return made
  }
  const verdict = async (tier: string, silent = false): Promise<void> => {
    const findings = JSON.stringify([{ rule: 'boot.replay', tier, claim: 'executables', message: `it is ${tier}` }])
    const node = await store.node(NODE)
    assert.ok(node)
    await store.saveVerdict(node, { tier, findings, silent }, undefined)
  }
  const tos = (): unknown[] => receiver.posts.map((p) => JSON.parse(p.body).data.to)

  it('tell each change of standing in order, signed, with its reasons', async () => {
    await store.unacknowledged(receiver.url, 1) // known from here on
    await verdict('affirming')
    await verdict('affirming')
    await verdict('contraindicated')
    await verdict('none', true)
    await operate(store, NODE, { act: 'refuse' }, 'alice')
    deliver()
    await receiver.until(4)
    assert.deepEqual(tos(), ['trusted', 'failed', 'stale', 'quarantined'])
    const failed = receiver.posts[1]
    assert.ok(failed)
    assert.deepEqual(JSON.parse(failed.body).data, {
      node: NODE,
      hostname: 'node.example',
      labels: {},
      from: 'trusted',
      to: 'failed',
      reasons: [{ rule: 'boot.replay', message: 'it is contraindicated' }],
    })
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = failed.headers
    const right = createHmac('sha256', SECRET).update(`${id}.${at}.${failed.body}`).digest('base64')
    assert.equal(signature, `v1,${right}`)
    assert.equal(new Set(receiver.posts.map((p) => p.headers['webhook-id'])).size, 4)
  })

  it('are posted again until they are acknowledged, under the same id, and later ones wait', async () => {
    receiver.statuses.push(500, 302, 404, 204)
    await store.unacknowledged(receiver.url, 1)
    await verdict('contraindicated')
    await verdict('affirming')
    deliver()
    await receiver.until(5)
    assert.deepEqual(tos(), ['failed', 'failed', 'failed', 'failed', 'trusted'])
    assert.equal(new Set(receiver.posts.slice(0, 4).map((p) => p.headers['webhook-id'])).size, 1)
  })

  it('leave no query of an address in the log', async () => {
    let lines = ''
    const log = pino({ level: 'trace' }, { write: (line) => (lines += line) })
    const url = `${receiver.url}?token=geheim`
    receiver.statuses.push(500)
    await store.unacknowledged(url, 1)
    await verdict('contraindicated')
    const made = deliver(STANDINGS, { url, log })
    await receiver.until(2)
    while ((await store.unacknowledged(url, 1)).length > 0) await new Promise(setImmediate)
    await made.stop()
    assert.match(lines, /webhook not acknowledged/)
    assert.match(lines, /acknowledged again|webhook acknowledged/)
    assert.ok(lines.includes(`"url":"${receiver.url}"`) && !lines.includes('geheim'), lines)
  })

  it('that nobody acknowledged are posted by the next verifier', async () => {
    receiver.statuses.push(503)
    await store.unacknowledged(receiver.url, 1)
    await verdict('contraindicated')
    const first = deliver()
    await receiver.until(1)
    await first.stop()
    const before = receiver.posts.length
    deliver()
    await receiver.until(before + 1)
    await verdict('affirming')
    await receiver.until(before + 2)
    assert.equal(tos().at(-1), 'trusted')
    assert.ok(
      tos()
        .slice(0, -1)
        .every((to) => to === 'failed'),
    )
  })

  it('go only to those who want to hear of that standing, and start with what comes', async () => {
    await verdict('contraindicated')
    await store.unacknowledged(receiver.url, 1) // the receiver is new: what was is not told
    deliver(['trusted'])
    await verdict('warning')
    await verdict('affirming')
    await receiver.until(1)
    assert.deepEqual(tos(), ['trusted'])
  })

  it('tell of a node that waits to be admitted', async () => {
    await store.unacknowledged(receiver.url, 1)
    await store.enrol({
      nodeId: 'cd'.repeat(32),
      ekPublic: Uint8Array.of(4),
      ak: { public: Uint8Array.of(5), name: '000c', certificate: Uint8Array.of(6) },
      attributes: {},
      admission: { kind: 'pending' },
    })
    deliver()
    await receiver.until(1)
    const { to, reasons } = JSON.parse(receiver.posts[0]?.body ?? '').data
    assert.equal(to, 'pending')
    assert.match(reasons[0].message, /holdfast nodes admit cdcd/)
  })
})
