import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { encode } from 'cborg'
import { WebSocket } from 'ws'
import { decodeVerifierMessage, MAX_FRAME_BYTES, SUBPROTOCOL } from '../../attestation/protocol/index.ts'
import { assertUsable, needsWholePath, seenByVerifier, startNode, type WholeNode } from '../support/whole-path.ts'

describe('what strangers send to a verifier in service', () => {
  let node: WholeNode

  before(async function () {
    needsWholePath(this)
    node = await startNode()
  })
  after(async () => {
    await node?.d.stop()
  })
  /** Connects as an agent would. */
  async function stranger(): Promise<WebSocket> {
    const ca = readFileSync(join(node.d.directory, 'verifier/ca.pem'))
    const ws = new WebSocket(`wss://127.0.0.1:${node.d.verifierPort}/v1/agent`, SUBPROTOCOL, { ca })
    await once(ws, 'open')
    return ws
  }

  /** Sends it and waits for the end. @returns the close code, and the code in the last message before it */
  async function sent(frame: Uint8Array | string): Promise<{ closed: unknown; code: string | undefined }> {
    const ws = await stranger()
    let code: string | undefined
    ws.on('error', () => {}) // the close that follows is what counts
    ws.on('message', (data) => {
      const message = decodeVerifierMessage(new Uint8Array(data as Buffer)) // nodebuffer is the default
      if (message.t === 'error') code = message.code
    })
    ws.send(frame)
    const [closed] = await once(ws, 'close')
    return { closed, code }
  }

  const hello = {
    ...{ t: 'hello', agent: 'x', hostname: 'x', ekPublic: new Uint8Array(8), ekChain: [], akPublic: new Uint8Array(8) },
    ...{ pcr: 15, banks: ['sha256'], mode: 'enforce' },
  }
  const nested = Buffer.concat([Buffer.alloc(10_000, 0x81), Buffer.of(0)])
  const bad: readonly (readonly [string, Uint8Array | string])[] = [
    ['text', 'hello'],
    ['nothing', new Uint8Array(0)],
    ['bytes that are no CBOR', Buffer.from('ffffffffffffffff', 'hex')],
    ['a list ten thousand levels deep', nested],
    ['a map that says it has four thousand million members', Buffer.from('bbffffffffffffffff', 'hex')],
    ['bytes that say they are longer than the frame', Buffer.from('a161745affffffff', 'hex')],
    ['a message of no kind', encode({ t: 'open sesame' })],
    ['a hello cut in the middle', encode(hello).subarray(0, 40)],
    ['a hello with bytes behind it', Buffer.concat([encode(hello), Buffer.of(0)])],
    ['a hello whose EK is text', encode({ ...hello, ekPublic: 'EK' })],
    ['a hello whose PCR is huge', encode({ ...hello, pcr: 2 ** 40 })],
    ['a hello with keys that are no TPM structures', encode(hello)],
    [
      'a quote before any hello',
      encode({ t: 'quoted', body: new Uint8Array(1), attest: new Uint8Array(1), signature: new Uint8Array(1) }),
    ],
  ]
  for (const [what, frame] of bad) {
    it(`${what}: an error with a code, and the connection is closed`, async () => {
      const { closed, code } = await sent(frame)
      assert.ok(closed === 1008 || closed === 1003 || closed === 1007, `closed with ${closed}`)
      assert.match(code ?? '', /^[A-Z][A-Z_]+$/)
    })
  }

  it('a frame over the limit: closed before it is read', async () => {
    const { closed } = await sent(new Uint8Array(MAX_FRAME_BYTES + 1))
    assert.ok(closed === 1009 || closed === 1006, `closed with ${closed}`)
  })

  it('another path, or no websocket: refused', async () => {
    const ca = readFileSync(join(node.d.directory, 'verifier/ca.pem'))
    for (const path of ['/', '/v1/agent', '/v1/agent/../nodes']) {
      const status = await new Promise((resolve, reject) => {
        const call = request({ host: '127.0.0.1', port: node.d.verifierPort, path, ca }, (answer) => {
          answer.resume()
          resolve(answer.statusCode)
        })
        call.on('error', reject)
        call.end()
      })
      assert.equal(status, 404, path)
    }
  })

  it('and the node in service has noticed nothing', async () => {
    assert.equal((await node.d.status()).uplink.state, 'connected')
    await assertUsable(node)
    const { verdicts } = await seenByVerifier(node.d)
    assert.deepEqual([...new Set(verdicts.map((v) => v.tier))], ['affirming'])
    assert.doesNotMatch(readFileSync(node.d.agent.logFile, 'utf8'), /no verifier/, 'it stayed connected all the time')
  })
})
