import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { toHex } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { signTicket, type TicketClaims } from '../../../attestation/protocol/index.ts'
import { loadIdentity } from '../../../attestation/verifier/identity.ts'
import { readVerifierConfig } from '../../../attestation/verifier/index.ts'
import { HOLDFAST, Service } from '../../support/holdfast.ts'
import { type AskedLaunch, startReplayingVerifier } from '../../support/replaying-verifier.ts'
import {
  assertInStep,
  assertUsable,
  expectRefusal,
  needsWholePath,
  quiet,
  startNode,
  verifierSees,
  type WholeNode,
} from '../../support/whole-path.ts'

describe('somebody in the place of the verifier, with its TLS key, who is believed everything but its tickets', () => {
  let node: WholeNode
  let impostor: { readonly stop: () => Promise<void> } | undefined
  let ticketFor: (asked: AskedLaunch) => Promise<string>
  let earlier: string
  let key: KeyObject

  before(async function () {
    needsWholePath(this)
    node = await startNode()
    const { d } = node
    const uuidFile = join(d.directory, 'uuid')
    assert.equal((await d.launch('--uuid-file-save', uuidFile, node.image, '--', 'true')).status, 0)
    earlier = await d.ticketOf(readFileSync(uuidFile, 'utf8').trim())
    key = (await loadIdentity(readVerifierConfig(d.verifierConfig), new Date())).ticketKey.privateKey
    await quiet(d)
    await d.agent.stop()
    await d.verifier.stop()
    impostor = await startReplayingVerifier(d.verifierConfig, (asked) => ticketFor(asked))
    await d.startAgent()
    await d.waitForUplink('connected')
  })
  after(async () => {
    await impostor?.stop()
    await node?.d.stop()
  })

  /** A ticket that fits the launch but for what `change` does to it. */
  function made(change: (fitting: TicketClaims) => Partial<TicketClaims>, by?: KeyObject) {
    return (asked: AskedLaunch): Promise<string> => {
      const claims: TicketClaims = JSON.parse(Buffer.from(earlier.split('.')[1] ?? '', 'base64url').toString())
      const request: { pod: { uuid: string } } = JSON.parse(new TextDecoder().decode(asked.request))
      const iat = Math.floor(Date.now() / 1000)
      const fitting: TicketClaims = {
        ...claims,
        ...{ iat, nbf: iat, exp: iat + 30, pod: request.pod.uuid, request: toHex(digest('sha256', asked.request)) },
        jti: 'a'.repeat(32),
      }
      return signTicket({ ...fitting, ...change(fitting) }, by ?? key)
    }
  }

  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const strangerId = toHex(digest('sha256', new Uint8Array(stranger.publicKey.export({ type: 'spki', format: 'der' }))))
  const HOUR = 3600
  const cases: readonly (readonly [string, string, (asked: AskedLaunch) => Promise<string>])[] = [
    ['the ticket of an earlier launch', 'TICKET_WRONG_POD', async () => earlier],
    ['a ticket for the register as it was at an earlier launch', 'TICKET_REGISTER_MOVED', made(() => ({}))],
    [
      'a ticket signed by a key that is not trusted',
      'TICKET_UNKNOWN_KEY',
      made(() => ({ iss: strangerId }), stranger.privateKey),
    ],
    ["a ticket with the verifier's name and another's signature", 'TICKET_', made(() => ({}), stranger.privateKey)],
    [
      'a ticket that has expired',
      'TICKET_EXPIRED',
      made((c) => ({ iat: c.iat - HOUR, nbf: c.nbf - HOUR, exp: c.exp - HOUR })),
    ],
    [
      'a ticket of the time to come',
      'TICKET_NOT_YET_VALID',
      made((c) => ({ iat: c.iat + HOUR, nbf: c.nbf + HOUR, exp: c.exp + HOUR })),
    ],
    ['a ticket for another node', 'TICKET_WRONG_NODE', made(() => ({ sub: 'b'.repeat(64) }))],
    [
      'a ticket for another attestation key',
      'TICKET_WRONG_AK',
      made(() => ({ cnf: { akName: `000b${'b'.repeat(64)}` } })),
    ],
    ['a ticket for another request', 'TICKET_WRONG_REQUEST', made(() => ({ request: 'b'.repeat(64) }))],
    ['a ticket of another TPM start', 'TICKET_TPM_RESTARTED', made((c) => ({ resetCount: c.resetCount + 1 }))],
    ['no ticket at all', 'TICKET_', async () => 'granted'],
  ]
  for (const [what, code, ticket] of cases) {
    it(`has nothing started with ${what}`, async () => {
      ticketFor = ticket
      const ran = await expectRefusal(node, ['AGENT_FAILED', code])
      if (code === 'TICKET_EXPIRED' || code === 'TICKET_NOT_YET_VALID') assert.match(ran.stderr, /Compare the clocks/)
      const records = await assertInStep(node.d)
      const last = records.findLast((r) => r.record === 'denied')
      assert.ok(last?.code.startsWith(code), `the refusal is in the log: ${last?.code}`)
    })
  }

  it('leaves a node that the real verifier still affirms', async () => {
    const { d } = node
    await d.agent.stop()
    await impostor?.stop()
    impostor = undefined
    await d.startVerifier()
    await d.startAgent()
    await d.waitForUplink('connected')
    await assertUsable(node)
    await verifierSees(d, 'a node in order', (n) => n.tier === 'affirming')
  })
})

describe('a node whose verifier is not there, or not the one it knows', () => {
  let node: WholeNode
  let other: Service | undefined

  before(async function () {
    needsWholePath(this)
    node = await startNode()
  })
  afterEach(async () => {
    await other?.stop()
    other = undefined
  })
  after(async () => {
    await node?.d.stop()
  })

  it('starts nothing while the verifier is stopped, and says where to look', async () => {
    const { d } = node
    await d.verifier.stop()
    await d.waitForUplink('unreachable')
    await expectRefusal(node, ['AGENT_FAILED', 'UPLINK_UNREACHABLE', "Check the verifier's address"])
    await d.startVerifier()
    await d.agent.stop()
    await d.startAgent()
    await d.waitForUplink('connected')
    await assertUsable(node)
  })

  it('does not speak to a verifier with another TLS key', async () => {
    const { d } = node
    await d.agent.stop()
    await d.verifier.stop()
    const config = join(d.directory, 'other-verifier.yaml')
    const text = readFileSync(d.verifierConfig, 'utf8')
    writeFileSync(config, text.replace(/^dataDirectory: .*$/m, `dataDirectory: ${join(d.directory, 'other-verifier')}`))
    other = Service.start('other verifier', join(d.directory, 'other.log'), process.execPath, [
      ...[HOLDFAST, 'verifier', '--config', config],
    ])
    await other.waitUntil('it listens', async () =>
      readFileSync(join(d.directory, 'other.log'), 'utf8').includes('verifier listens') ? true : undefined,
    )
    await d.startAgent()
    await d.waitForUplink('unreachable')
    const ran = await expectRefusal(node, ['AGENT_FAILED', 'UPLINK_TLS_UNTRUSTED'])
    assert.match(ran.stderr, /pinned is [0-9a-f]{64}/)

    await other.stop()
    await d.agent.stop()
    await d.startVerifier()
    await d.startAgent()
    await d.waitForUplink('connected')
    await assertUsable(node)
  })

  it('gets no ticket from a verifier whose ticket key it does not trust: quotes name another verifier', async () => {
    const { d } = node
    const trust = JSON.parse(readFileSync(d.trustFile, 'utf8'))
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const id = toHex(digest('sha256', new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))))
    d.agentTrust = join(d.directory, 'agent-trust.json')
    writeFileSync(
      d.agentTrust,
      JSON.stringify({ ...trust, verifierId: id, ticketKeys: [publicKey.export({ format: 'jwk' })] }),
    )
    await d.agent.stop()
    await d.startAgent()
    await d.waitForUplink('unreachable')
    await expectRefusal(node, ['AGENT_FAILED', 'UPLINK_REFUSED', 'ATTEST_EXTRA_DATA_MISMATCH'])

    d.agentTrust = d.trustFile
    await d.agent.stop()
    await d.startAgent()
    await d.waitForUplink('connected')
    await assertUsable(node)
    const seen = await verifierSees(
      d,
      'a node in order: what anybody can send is no word about it',
      (n) => n.tier === 'affirming',
    )
    assert.deepEqual([...new Set(seen.verdicts.map((v) => v.tier))], ['affirming'])
  })
})
