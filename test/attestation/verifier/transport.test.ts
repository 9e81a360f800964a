import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { connect } from 'node:tls'
import { encode } from 'cborg'
import fc from 'fast-check'
import { WebSocket } from 'ws'
import { MAX_FRAME_BYTES, SUBPROTOCOL } from '../../../attestation/protocol/index.ts'
import { KeyedRateLimit, RateLimit } from '../../../attestation/verifier/rate-limit.ts'
import type { AgentPeer } from '../../support/agent-peer.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { random } from '../../support/soft-tpm.ts'

describe('the listener', () => {
  let fleet: Fleet
  before(async () => {
    fleet = await startFleet(1, { settings: 'limits:\n  connectionsPerAddressPerSecond: 1000\n' })
  })
  afterEach(async () => await fleet.disconnect())
  after(async () => await fleet.stop())

  const get = async (path: string, method = 'GET'): Promise<{ status: number | undefined; body: string }> => {
    const { port, ca } = fleet.verifier
    const sent = request({ host: '127.0.0.1', port, path, method, ca, agent: false }).end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage] // node:http's documented event
    let body = ''
    for await (const chunk of response) body += chunk
    return { status: response.statusCode, body }
  }

  it('says over HTTP whether it is well, and nothing else', async () => {
    assert.deepEqual(await get('/healthz'), { status: 200, body: '{"status":"ok"}' })
    assert.deepEqual(await get('/readyz'), { status: 200, body: '{"status":"ok"}' })
    assert.equal((await get('/')).status, 404)
    assert.equal((await get('/healthz', 'POST')).status, 404)
  })

  it('speaks TLS 1.3 only', async () => {
    const { port, ca } = fleet.verifier
    const socket = connect({ host: '127.0.0.1', port, ca, maxVersion: 'TLSv1.2' })
    const [err] = await once(socket, 'error')
    assert.match(String(err), /alert|protocol version/i)
    socket.destroy()
  })

  for (const [what, path, protocol, status] of [
    ['another path', '/v2/agent', SUBPROTOCOL, 404],
    ['another subprotocol', '/v1/agent', 'holdfast.v0', 400],
    ['no subprotocol', '/v1/agent', undefined, 400],
  ] as const) {
    it(`refuses a websocket with ${what}`, async () => {
      const { port, ca } = fleet.verifier
      const ws = new WebSocket(`wss://127.0.0.1:${port}${path}`, protocol === undefined ? [] : [protocol], { ca })
      const [err] = await once(ws, 'error')
      assert.match(String(err), new RegExp(`${status}`))
    })
  }

  const frames: readonly [string, Uint8Array, RegExp][] = [
    ['nothing in it', new Uint8Array(0), /^PROTOCOL_/],
    ['random bytes', random(200), /^PROTOCOL_/],
    ['CBOR that is no message', encode([1, 2, 3]), /^PROTOCOL_/],
    ['a message that does not exist', encode({ t: 'open-sesame' }), /^PROTOCOL_UNKNOWN_MESSAGE$/],
    ['a message of the verifier', encode({ t: 'error', code: 'X', message: '' }), /^PROTOCOL_UNKNOWN_MESSAGE$/],
    ['a wrongly typed field', encode({ t: 'activation', proof: 'text' }), /^PROTOCOL_INVALID_MESSAGE$/],
    ['a field too many', encode({ t: 'activation', proof: new Uint8Array(32), x: 1 }), /^PROTOCOL_INVALID_MESSAGE$/],
    ['a map cut short', encode({ t: 'activation', proof: new Uint8Array(32) }).slice(0, 20), /^PROTOCOL_/],
    ['a length of four billion', Uint8Array.of(0xa1, 0x61, 0x74, 0x5a, 0xff, 0xff, 0xff, 0xff), /^PROTOCOL_/],
  ]
  for (const [what, frame, code] of frames) {
    it(`ends the connection for a frame with ${what}`, async () => {
      const peer = await fleet.connect(fleet.node(0))
      peer.sendRaw(frame)
      assert.match(await peer.refused(), code)
      assert.equal(peer.closeCode, 1008)
    })
  }

  it('ends the connection for a text frame', async () => {
    const peer = await fleet.connect(fleet.node(0))
    peer.ws.send('hello')
    assert.equal(await peer.refused(), 'PROTOCOL_NOT_CBOR')
  })

  it('ends the connection for a frame over the limit before it is read', async () => {
    const peer = await fleet.connect(fleet.node(0))
    peer.sendRaw(new Uint8Array(MAX_FRAME_BYTES + 1))
    await assert.rejects(peer.next('error'), /closed with 1009/)
  })

  it('ends the connection of a stranger whose message is long, before all of it has come', async () => {
    const peer = await fleet.connect(fleet.node(0))
    peer.ws.send(new Uint8Array(300 << 10), { binary: true, fin: false })
    await assert.rejects(peer.next('error'), /closed with 1006/)
  })

  const longLog = (peer: AgentPeer): void => {
    while (peer.node.log.length < 400 << 10) {
      const request = 'c'.repeat(64)
      peer.node.record({ record: 'denied', uuid: '00000000-0000-4000-8000-000000000001', request, code: 'X' })
    }
  }

  it('takes long messages of a node that has proved itself', async () => {
    const peer = await fleet.connect(fleet.node(0))
    await peer.enrol()
    await peer.prove()
    longLog(peer)
    peer.quote({ t: 'evidence', purpose: 'periodic' })
    assert.ok((await peer.next('result')).result) // appraised, whatever came of it: other tests have used this TPM
  })

  it('ends the connection of one that has only named an admitted node, whose ID is public', async () => {
    const peer = await fleet.connect(fleet.node(0))
    peer.hello()
    await peer.next('status')
    await peer.next('challenge')
    longLog(peer)
    peer.quote({ t: 'evidence', purpose: 'session' }, { log: { offset: 0, bytes: peer.node.log } })
    await assert.rejects(peer.next('result'), /closed with 1006/)
  })

  it('ends the connection of a peer that sends without waiting for answers', async () => {
    const peer = await fleet.connect(fleet.node(0))
    for (let i = 0; i < 500; i++) peer.sendRaw(encode({ t: 'activation', proof: new Uint8Array(32) }))
    assert.match(await peer.refused(), /^SESSION_(TOO_MANY_MESSAGES|UNEXPECTED_MESSAGE)$/)
  })

  it('survives any first frame', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        const peer = await fleet.connect(fleet.node(0))
        peer.sendRaw(bytes)
        const code = await peer.refused()
        assert.match(code, /^PROTOCOL_/)
        await peer.close()
      }),
      { numRuns: 30 },
    )
    assert.equal((await get('/healthz')).status, 200)
  })
})

describe('connection limits', () => {
  it('hold for the number of connections', async () => {
    const fleet = await startFleet(1, { settings: 'limits:\n  connections: 2\n' })
    try {
      await fleet.connect(fleet.node(0))
      await fleet.connect(fleet.node(0))
      await assert.rejects(fleet.connect(fleet.node(0)))
    } finally {
      await fleet.stop()
    }
  })

  it('hold for one address in a second', async () => {
    const fleet = await startFleet(1, { settings: 'limits:\n  connectionsPerAddressPerSecond: 1\n' })
    try {
      const all = await Promise.allSettled(Array.from({ length: 10 }, () => fleet.connect(fleet.node(0))))
      assert.ok(all.some((one) => one.status === 'rejected'))
    } finally {
      await fleet.stop()
    }
  })

  it('hold for connections in the name of one node, and go with them', async () => {
    const fleet = await startFleet(2)
    try {
      const peers = await Promise.all(Array.from({ length: 9 }, () => fleet.connect(fleet.node(0))))
      for (const peer of peers.slice(0, 8)) {
        peer.hello()
        await peer.next('activate')
      }
      const last = peers.at(-1)
      assert.ok(last)
      last.hello()
      assert.equal(await last.refused(), 'SESSION_TOO_MANY_CONNECTIONS')
      assert.equal(last.closeCode, 1013)
      assert.equal((await fleet.proven(1)).closeCode, undefined) // another node is not concerned
    } finally {
      await fleet.stop()
    }
  })

  it('hold for launches of one node, with a denial that keeps the connection', async () => {
    const fleet = await startFleet(1, { settings: 'limits: {launchesPerSecond: 1}\n' })
    try {
      const peer = await fleet.proven(0)
      const codes: string[] = []
      for (let id = 0; id < 4; id++) {
        const answer = await peer.launch(random(10), {}, id)
        if (answer.t === 'denied') codes.push(answer.code)
      }
      assert.ok(codes.includes('LAUNCH_REQUEST_INVALID') && codes.includes('LAUNCH_TOO_MANY'), codes.join())
      const kept = await fleet.verifier.withStore(async (s) => await s.decisions(peer.node.nodeId, 10))
      assert.equal(kept.length, codes.filter((c) => c !== 'LAUNCH_TOO_MANY').length)
    } finally {
      await fleet.stop()
    }
  })

  it('let a burst through and then so many a second', () => {
    const limit = new RateLimit(2, 3, 0)
    assert.deepEqual(
      [0, 0, 0, 0].map((t) => limit.take(t)),
      [true, true, true, false],
    )
    assert.equal(limit.take(400), true) // not a whole one was left: the rest is owed
    assert.equal(limit.take(450), false)
    assert.equal(limit.take(450 + limit.waitMs(450)), true)
  })

  it('are remembered for a bounded number of addresses', () => {
    const limits = new KeyedRateLimit(1, 1)
    for (let i = 0; i < 10_000; i++) assert.equal(limits.take(`address ${i}`, 0), true)
    assert.equal(limits.take('one more', 0), true) // shares a limit with all later ones
    assert.equal(limits.take('yet one more', 0), false)
    assert.ok(limits.waitMs('a third', 0) > 0)
    assert.equal(limits.take('later', 10_000), true) // by then the others are forgotten
  })
})
