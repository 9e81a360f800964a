import assert from 'node:assert/strict'
import { pino } from 'pino'
import { Attester } from '../../../agent/attester.ts'
import { readIdentity } from '../../../agent/identity.ts'
import type { LaunchLog } from '../../../agent/launch-log/index.ts'
import { Uplink } from '../../../agent/uplink/index.ts'
import { fromHex } from '../../../attestation/base/index.ts'
import { encodeLaunchRequest } from '../../../attestation/protocol/index.ts'
import { pcrIndex } from '../../../attestation/tpm2/index.ts'
import { launchRequest } from '../../support/launch-request.ts'
import { SoftTpm } from '../../support/soft-tpm.ts'
import { eventually } from '../support/real-node.ts'
import { ScriptedVerifier } from '../support/scripted-verifier.ts'
import { softLog } from '../support/soft-log.ts'
import { SoftTpmPort } from '../support/soft-tpm-port.ts'

describe('the nonce in hand', () => {
  let verifier: ScriptedVerifier
  let uplink: Uplink
  let log: LaunchLog
  let nowMs: number
  let answers: number
  beforeEach(async () => {
    nowMs = 1_000_000
    answers = 0
    verifier = await ScriptedVerifier.start()
    const tpm = new SoftTpmPort(new SoftTpm(['sha256', 'sha384']))
    log = await softLog(tpm)
    const identity = await readIdentity(tpm)
    const { ekPublic, akPublic } = identity.tpm
    uplink = new Uplink({
      trust: verifier.trust,
      identity,
      onStopPods: () => {},
      onAnswer: () => answers++,
      hello: {
        ...{ t: 'hello', agent: 'test/1', hostname: 'host.example', ekPublic, ekChain: [], akPublic },
        ...{ pcr: 15, banks: ['sha256', 'sha384'], mode: 'enforce' },
      },
      verifierId: fromHex(verifier.trust.verifierId),
      tpm,
      attester: new Attester(tpm, pcrIndex(15), async () => []),
      launchLog: log,
      nowMs: () => nowMs,
      random: () => 0,
      logger: pino({ level: 'silent' }),
      onCertificate: () => {},
    })
    uplink.start()
    await eventually(() => uplink.status.state === 'connected')
  })
  afterEach(async () => {
    uplink.stop()
    await verifier.stop()
  })

  const launch = async (): Promise<string> => {
    const session = await uplink.ready(5000)
    return session.exclusive(async () => {
      await session.prepare()
      const request = encodeLaunchRequest(launchRequest())
      return (await log.exclusive((w) => session.launch(w, request, 5000))).t
    })
  }
  const purposes = (peer = 0) =>
    verifier.peers[peer]?.bodies.map((b) => (b.t === 'launch' ? 'launch' : b.purpose)) ?? []

  it('serves one launch, whose answer brings the next one', async () => {
    assert.equal(await launch(), 'ticket')
    assert.equal(await launch(), 'ticket')
    assert.deepEqual(purposes(), ['session', 'launch', 'launch'])
    const nonces = new Set(verifier.peers[0]?.bodies.map((b) => Buffer.from(b.nonce).toString('hex')))
    assert.equal(nonces.size, 3)
  })

  for (const age of [46_000, 56_000, 3_600_000]) {
    it(`is renewed before a launch when it is ${age / 1000} s old, and no evidence is sent for that`, async () => {
      nowMs += age
      assert.equal(await launch(), 'ticket')
      assert.deepEqual(purposes(), ['session', 'launch'])
      const kinds = verifier.peers[0]?.messages.map((m) => m.t)
      assert.deepEqual(kinds, ['hello', 'quoted', 'renew', 'quoted'])
      assert.equal(answers, 3)
      assert.equal(verifier.peers.length, 1)
    })
  }

  it('stays in hand when the quote fails', async () => {
    const session = await uplink.ready(5000)
    const failing = session.exclusive(async () => {
      await session.prepare()
      const broken = () => Promise.reject(new Error('TPM_TIMEOUT'))
      return log.exclusive((w) => session.launch({ ...w, ...log.view, read: broken }, new Uint8Array(1), 5000))
    })
    await assert.rejects(failing, /TPM_TIMEOUT/)
    assert.equal(await launch(), 'ticket')
    assert.equal(verifier.peers.length, 1)
  })

  it('of a challenge is used for its answer, and the answer to it is the one in hand then', async () => {
    verifier.peers[0]?.challenge('periodic')
    await eventually(() => purposes().length === 2)
    assert.equal(await launch(), 'ticket')
    assert.deepEqual(purposes(), ['session', 'periodic', 'launch'])
  })

  it('comes again when the verifier says, and shows why it waits', async () => {
    verifier.script = (peer, message) => {
      if (message.t !== 'hello') return false
      peer.send({ t: 'error', code: 'NODE_OVER_BUDGET', message: 'too much', retryAfterMs: 600_000 })
      peer.ws.close(1013)
      return true
    }
    const before = Date.now()
    verifier.peers[0]?.ws.terminate()
    await eventually(() => uplink.status.state === 'unreachable' && verifier.peers.length === 2)
    const { status } = uplink
    assert.ok(status.state === 'unreachable')
    assert.match(status.message, /NODE_OVER_BUDGET: too much/)
    assert.ok(Date.parse(status.retryAt) - before >= 600_000, status.retryAt)
  })

  it('connects again after the connection was lost, and not after stop', async () => {
    verifier.peers[0]?.ws.terminate()
    await eventually(() => verifier.peers.length === 2 && uplink.status.state === 'connected')
    uplink.stop()
    await assert.rejects(uplink.ready(5000), { code: 'UPLINK_STOPPING' })
  })
})
