import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { dialVerifier } from '../../../agent/uplink/index.ts'
import { createCa } from '../../../attestation/ca/index.ts'
import { ScriptedVerifier } from '../support/scripted-verifier.ts'

const never = new AbortController().signal

describe('connecting to the verifier', () => {
  let verifier: ScriptedVerifier
  beforeEach(async () => {
    verifier = await ScriptedVerifier.start()
  })
  afterEach(() => verifier.stop())

  it('takes the pinned key, whatever the name on the certificate', async () => {
    const { ws, exporter } = await dialVerifier(verifier.trust, never)
    assert.equal(ws.protocol, 'holdfast.v1')
    assert.deepEqual(exporter, verifier.peers[0]?.exporter, 'both ends have the same channel binding')
    ws.terminate()
  })

  it('takes a certificate of the configured CA', async () => {
    const { ws } = await dialVerifier({ ...verifier.trust, tlsSpkiSha256: [], ca: verifier.ca }, never)
    ws.terminate()
  })

  const otherCa = createCa('another', new Date()).certPem
  const untrusted = [
    { name: 'another key than the pinned one', trust: { tlsSpkiSha256: ['ab'.repeat(32)] } },
    { name: 'another CA', trust: { tlsSpkiSha256: [], ca: otherCa } },
    { name: 'the pinned key under another CA', trust: { ca: otherCa } },
    { name: 'nothing configured, and no public CA', trust: { tlsSpkiSha256: [] } },
  ]
  for (const { name, trust } of untrusted) {
    it(`sends nothing to ${name}`, async () => {
      await assert.rejects(dialVerifier({ ...verifier.trust, ...trust }, never), { code: 'UPLINK_TLS_UNTRUSTED' })
      assert.equal(verifier.received, 0)
    })
  }

  it('wants the pin as well as the CA where both are configured', async () => {
    const trust = { ...verifier.trust, tlsSpkiSha256: ['ab'.repeat(32)], ca: verifier.ca }
    await assert.rejects(dialVerifier(trust, never), { code: 'UPLINK_TLS_UNTRUSTED' })
  })

  it('wants a certificate for the name it connects to, where a CA is all it knows', async () => {
    const elsewhere = await ScriptedVerifier.start({}, undefined, {}, ['verifier.example'])
    try {
      const trust = { ...elsewhere.trust, tlsSpkiSha256: [], ca: elsewhere.ca }
      await assert.rejects(dialVerifier(trust, never), { code: 'UPLINK_TLS_UNTRUSTED', message: /altnames/ })
      assert.equal(elsewhere.received, 0)
    } finally {
      await elsewhere.stop()
    }
  })

  it('speaks nothing older than TLS 1.3', async () => {
    const old = await ScriptedVerifier.start({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' })
    try {
      await assert.rejects(dialVerifier(old.trust, never), { code: 'UPLINK_TLS_FAILED' })
      assert.equal(old.received, 0)
    } finally {
      await old.stop()
    }
  })

  it('says that nobody is there', async () => {
    const { port, close } = await listen('127.0.0.1')
    await close()
    const trust = { ...verifier.trust, url: `wss://127.0.0.1:${port}/v1/agent` }
    await assert.rejects(dialVerifier(trust, never), { code: 'UPLINK_UNREACHABLE', message: /ECONNREFUSED/ })
  })

  it('gives up when it is told to, on a peer that says nothing', async () => {
    const { port, close } = await listen('127.0.0.1')
    const stop = new AbortController()
    const trust = { ...verifier.trust, url: `wss://127.0.0.1:${port}/v1/agent` }
    const dialed = dialVerifier(trust, stop.signal)
    stop.abort()
    await assert.rejects(dialed, { code: 'UPLINK_TIMEOUT' })
    await close()
  })

  it('refuses a peer that speaks no TLS', async () => {
    const { port, close } = await listen('127.0.0.1', 'HTTP/1.1 400 Bad Request\r\n\r\n')
    const trust = { ...verifier.trust, url: `wss://127.0.0.1:${port}/v1/agent` }
    await assert.rejects(dialVerifier(trust, never), { code: 'UPLINK_TLS_FAILED' })
    await close()
  })

  for (const [name, answer] of [
    ['a web server', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
    ['a redirect', 'HTTP/1.1 302 Found\r\nLocation: wss://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n'],
    ['an upgrade with a wrong key', 'HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'],
    ['something that is no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
  ] as const) {
    it(`refuses ${name} behind the right certificate`, async () => {
      const server = await ScriptedVerifier.start({}, (socket) => socket.end(answer))
      try {
        await assert.rejects(dialVerifier(server.trust, never), { code: 'UPLINK_PROTOCOL' })
      } finally {
        await server.stop()
      }
    })
  }

  it('refuses a verifier that does not know the protocol version', async () => {
    const server = await ScriptedVerifier.start({}, undefined, { handleProtocols: () => false })
    try {
      await assert.rejects(dialVerifier(server.trust, never), { code: 'UPLINK_PROTOCOL', message: /subprotocol/ })
    } finally {
      await server.stop()
    }
  })
})

/** A TCP listener that says `greeting`, or nothing. */
async function listen(host: string, greeting?: string): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (greeting !== undefined) socket.end(greeting)
    closing.add(() => socket.destroy())
  })
  const closing = new Set<() => void>()
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('a TCP listener has an address')
  return {
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        for (const destroy of closing) destroy()
        server.close(() => resolve())
      }),
  }
}
