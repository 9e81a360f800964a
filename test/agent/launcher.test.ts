import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import type { AgentMessage, QuotedBody, TicketSubject } from '../../attestation/protocol/index.ts'
import { makeDigest, nodeIdOf } from '../../attestation/tpm2/index.ts'
import { localCall } from './support/local-call.ts'
import { podLaunch } from './support/pod.ts'
import { eventually } from './support/real-node.ts'
import type { ScriptedPeer } from './support/scripted-verifier.ts'
import { SoftNode } from './support/soft-node.ts'

type LaunchBodyMessage = Extract<QuotedBody, { t: 'launch' }>
/** Deals with launches only; everything else the verifier answers honestly. */
const onLaunch =
  (answer: (peer: ScriptedPeer, body: LaunchBodyMessage) => Promise<void> | void) =>
  async (peer: ScriptedPeer, message: AgentMessage): Promise<boolean> => {
    const body = peer.bodies.at(-1)
    if (message.t !== 'quoted' || body?.t !== 'launch') return false
    await answer(peer, body)
    return true
  }

describe('a launch', () => {
  let node: SoftNode
  beforeEach(async () => {
    node = await SoftNode.make()
  })
  afterEach(() => node.stop())

  it('is measured, authorised, extended and answered', async () => {
    await node.connected()
    const pod = node.pod()
    const { status, body } = await node.launch(pod.body)
    assert.equal(status, 200)
    assert.equal(body['decision'], 'allowed')
    assert.equal(body['mode'], 'enforce')
    const records = await node.log()
    assert.deepEqual(
      records.map((r) => r.record),
      ['agent', 'stage1', 'image', 'pod', 'launch'],
    )
    const launch = records.at(-1)
    assert.ok(launch?.record === 'launch')
    assert.equal(launch.uuid, pod.uuid)
    assert.equal(launch.verifierKey, node.verifier.trust.verifierId)
    assert.equal(await node.agrees(), true)
    const { mode: _, node: nodeId, ...sent } = JSON.parse(String(body['request']))
    const { podDirectory: __, ...asked } = pod.body
    assert.deepEqual(sent, asked)
    assert.equal(
      nodeId,
      (await localCall(node.socketPath, 'GET', '/v1/status').then((a) => a.body as { nodeId: string })).nodeId,
    )
  })

  it('records stage1 and image once, and again when something about them changes', async () => {
    await node.connected()
    await node.launch()
    await node.launch()
    const pod = node.pod()
    const [image] = pod.body.images
    assert.ok(image)
    await node.launch({ ...pod.body, images: [{ ...image, verification: 'stat-cache' }] })
    assert.deepEqual(
      (await node.log()).map((r) => r.record),
      ['agent', 'stage1', 'image', 'pod', 'launch', 'pod', 'launch', 'image', 'pod', 'launch'],
    )
  })

  it('is one of many at the same time, each with a ticket of its own', async () => {
    await node.connected()
    const answers = await Promise.all(Array.from({ length: 12 }, () => node.launch()))
    assert.deepEqual(new Set(answers.map((a) => a.status)), new Set([200]))
    assert.equal(new Set(answers.map((a) => a.body['ticket'])).size, 12)
    assert.equal(await node.agrees(), true)
  })

  it('is shown to the verifier soon after', async () => {
    await node.connected()
    await node.launch()
    const shown = await eventually(() => {
      const last = node.verifier.peers[0]?.bodies.at(-1)
      return last?.t === 'evidence' && last.purpose === 'periodic' ? last : undefined
    })
    assert.ok(shown.log.bytes.length > 0)
  })

  it('of a pod that was asked for before is refused', async () => {
    await node.connected()
    const pod = node.pod()
    await node.launch(pod.body)
    const { status, body } = await node.launch(pod.body)
    assert.deepEqual([status, body['code']], [409, 'LAUNCH_REPEATED'])
    assert.equal((await node.log()).filter((r) => r.record === 'pod').length, 1)
  })

  it('that the verifier denies is refused with its reasons, and the denial is measured', async () => {
    node.verifier.script = onLaunch((peer, body) => peer.denied(body, 'LAUNCH_DENIED', ['policy p1', 'policy p2']))
    await node.connected()
    const { status, body } = await node.launch()
    assert.equal(status, 403)
    assert.deepEqual(body, { decision: 'denied', code: 'LAUNCH_DENIED', reasons: ['policy p1', 'policy p2'] })
    const last = (await node.log()).at(-1)
    assert.ok(last?.record === 'denied')
    assert.equal(last.code, 'LAUNCH_DENIED')
    assert.equal(await node.agrees(), true)
  })

  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const later = (s: number) => new Date(Date.now() + 1000 * s)
  const zero = '0'.repeat(64)
  const bent = (bend: (subject: TicketSubject) => TicketSubject) => onLaunch((peer, body) => peer.ticket(body, bend))
  const register = (subject: TicketSubject, part: 'before' | 'after') => {
    const { sha256 } = subject.register.banks
    const banks = { ...subject.register.banks, sha256: { before: '', after: '', ...sha256, [part]: zero } }
    return { ...subject, register: { ...subject.register, banks } }
  }
  const badAnswers = [
    {
      code: 'TICKET_SIGNATURE',
      name: 'signed by another key',
      script: onLaunch((p, b) => p.ticket(b, undefined, { key: stranger })),
    },
    { code: 'TICKET_UNKNOWN_KEY', name: 'of another verifier', script: bent((s) => ({ ...s, iss: zero })) },
    {
      code: 'TICKET_MALFORMED',
      name: 'that is none',
      script: onLaunch((p, b) => p.ticket(b, undefined, { text: 'a.b.c' })),
    },
    {
      code: 'TICKET_EXPIRED',
      name: 'that has expired',
      script: onLaunch((p, b) => p.ticket(b, undefined, { now: later(-60) })),
    },
    {
      code: 'TICKET_NOT_YET_VALID',
      name: 'of a clock that is ahead',
      script: onLaunch((p, b) => p.ticket(b, undefined, { now: later(60) })),
    },
    {
      code: 'TICKET_TOO_LONG',
      name: 'that lives for an hour',
      script: onLaunch((p, b) => p.ticket(b, undefined, { claims: (c) => ({ ...c, exp: c.iat + 3600 }) })),
    },
    { code: 'TICKET_WRONG_NODE', name: 'for another node', script: bent((s) => ({ ...s, sub: zero })) },
    {
      code: 'TICKET_WRONG_AK',
      name: 'for another AK',
      script: bent((s) => ({ ...s, cnf: { akName: `000b${zero}` } })),
    },
    {
      code: 'TICKET_WRONG_POD',
      name: 'for another pod',
      script: bent((s) => ({ ...s, pod: '00000000-0000-4000-8000-000000000000' })),
    },
    { code: 'TICKET_WRONG_REQUEST', name: 'for another request', script: bent((s) => ({ ...s, request: zero })) },
    { code: 'TICKET_TPM_RESTARTED', name: 'for another TPM start', script: bent((s) => ({ ...s, restartCount: 9 })) },
    {
      code: 'TICKET_WRONG_PCR',
      name: 'for another register',
      script: bent((s) => ({ ...s, register: { ...s.register, pcr: 14 } })),
    },
    {
      code: 'TICKET_REGISTER_MOVED',
      name: 'for a register value that is over',
      script: bent((s) => register(s, 'before')),
    },
    { code: 'TICKET_WRONG_AFTER', name: 'that leads elsewhere', script: bent((s) => register(s, 'after')) },
    {
      code: 'TICKET_WRONG_BANKS',
      name: 'that leaves a bank out',
      script: bent((s) => {
        const { sha384: _, ...banks } = { sha384: undefined, ...s.register.banks }
        return { ...s, register: { ...s.register, banks } }
      }),
    },
    {
      code: 'UPLINK_BAD_MESSAGE',
      name: 'instead of which a text frame comes',
      script: onLaunch((p) => p.sendRaw('hello')),
    },
    {
      code: 'UPLINK_BAD_MESSAGE',
      name: 'instead of which bytes come',
      script: onLaunch((p) => p.sendRaw(new Uint8Array(64).fill(255))),
    },
    {
      code: 'UPLINK_BAD_MESSAGE',
      name: 'instead of which a frame of 9 MiB comes',
      script: onLaunch((p) => p.sendRaw(new Uint8Array(9 << 20))),
    },
    {
      code: 'UPLINK_BAD_MESSAGE',
      name: 'instead of which a flood comes',
      script: onLaunch((p) => {
        for (let i = 0; i < 5000; i++) p.challenge('periodic')
      }),
    },
    { code: 'UPLINK_UNEXPECTED_MESSAGE', name: 'instead of which a result comes', script: onLaunch((p) => p.result()) },
    {
      code: 'UPLINK_UNEXPECTED_MESSAGE',
      name: 'that is for another launch',
      script: onLaunch((p, b) => p.ticket({ ...b, id: b.id + 1 })),
    },
    {
      code: 'UPLINK_REFUSED',
      name: 'instead of which an error comes',
      script: onLaunch((p) => p.send({ t: 'error', code: 'INTERNAL', message: 'x' })),
    },
    { code: 'UPLINK_CLOSED', name: 'instead of which the connection ends', script: onLaunch((p) => p.ws.terminate()) },
  ]
  for (const { code, name, script } of badAnswers) {
    it(`with a ticket ${name} is refused with ${code}, recorded, and starts nothing`, async () => {
      node.verifier.script = script
      const agent = await node.connected()
      const { status, body } = await node.launch()
      assert.deepEqual([status, body['code']], [503, code])
      assert.match(String(body['hint']), /\w/)
      const last = (await node.log()).at(-1)
      assert.ok(last?.record === 'denied')
      assert.equal(last.code, code)
      assert.equal(agent.status().launches.allowed, 0)
      assert.equal(await node.agrees(), true)
      // A verifier that is honest again is used again.
      node.verifier.script = () => false
      await eventually(() => agent.status().uplink.state === 'connected')
      assert.equal((await node.launch()).status, 200)
    })
  }

  it('is refused when the verifier stays silent, after the configured time', async () => {
    node.verifier.script = onLaunch(() => {})
    await node.connected({ launchTimeoutMs: 100 })
    const { status, body } = await node.launch()
    assert.deepEqual([status, body['code']], [503, 'UPLINK_TIMEOUT'])
    assert.equal((await node.log()).at(-1)?.record, 'denied')
  })

  it('that waits for its turn when the connection ends is asked on the next one', async () => {
    let asked = 0
    node.verifier.script = onLaunch((peer, body) => (asked++ === 0 ? peer.ws.terminate() : peer.ticket(body)))
    await node.connected()
    const [first, second] = await Promise.all([node.launch(), node.launch()])
    assert.deepEqual([first.status, first.body['code']], [503, 'UPLINK_CLOSED'])
    assert.deepEqual([second.status, second.body['decision']], [200, 'allowed'])
    assert.equal(asked, 2)
    assert.equal(await node.agrees(), true)
  })

  it('waits for a connection that was lost just now', async () => {
    const agent = await node.connected()
    node.verifier.peers[0]?.ws.terminate()
    await eventually(() => agent.status().uplink.state === 'unreachable')
    assert.equal((await node.launch()).status, 200)
  })

  it('is refused while nobody answers at the address', async () => {
    await node.verifier.stop()
    const agent = await node.start()
    await eventually(() => agent.status().uplink.state === 'unreachable')
    const { status, body } = await node.launch()
    assert.deepEqual([status, body['code']], [503, 'UPLINK_UNREACHABLE'])
    assert.deepEqual(
      (await node.log()).map((r) => r.record),
      ['agent', 'stage1', 'image', 'pod', 'denied'],
    )
  })

  it('is refused while an operator has not admitted the node', async () => {
    node.verifier.script = (peer, message) => {
      if (message.t !== 'hello') return false
      peer.send({ t: 'status', nodeId: nodeIdOf(message.ekPublic), admission: 'pending', message: 'wait' })
      return true
    }
    const agent = await node.start()
    await eventually(() => agent.status().uplink.state === 'pending')
    const { status, body } = await node.launch()
    assert.deepEqual([status, body['code']], [503, 'UPLINK_PENDING'])
    assert.match(String(body['hint']), /holdfast nodes admit/)
  })

  it('is refused when something else extends the register before the ticket comes', async () => {
    node.verifier.script = onLaunch(async (peer, body) => {
      const digest = makeDigest('sha256', new Uint8Array(32).fill(1))
      node.tpm.register.extendDirectly([digest, makeDigest('sha384', new Uint8Array(48).fill(1))])
      await peer.ticket(body)
    })
    const agent = await node.connected()
    const { status, body } = await node.launch()
    assert.deepEqual([status, body['code']], [503, 'LAUNCH_LOG_REGISTER_MISMATCH'])
    await eventually(() => agent.status().log.breaks === 1)
    assert.ok(
      node.lines.some((l) => l['code'] === 'LAUNCH_LOG_BREAK' && l['level'] === 60),
      'an alarm',
    )
  })

  for (const operation of ['extend', 'quote', 'readPcrs']) {
    it(`is refused when the TPM fails in ${operation}, and works again afterwards`, async () => {
      const agent = await node.connected()
      let failed = false
      node.tpm.before = (called) => {
        if (called !== operation || failed) return
        failed = true
        throw Object.assign(new Error('the TPM did not answer'), { code: 'TPM_TIMEOUT' })
      }
      const { status, body } = await node.launch()
      assert.deepEqual([status, body['code']], [503, 'TPM_TIMEOUT'])
      await eventually(() => agent.status().uplink.state === 'connected' && agent.status().log.settled)
      assert.equal((await node.launch()).status, 200)
      assert.equal(await node.agrees(), true)
      assert.equal(agent.status().log.breaks, 0)
    })
  }

  it('whose TPM is started anew in between is refused, and a new log begun', async () => {
    const agent = await node.connected()
    const before = agent.status().log.resetCount
    node.tpm.before = (called) => {
      if (called !== 'quote') return
      node.tpm.before = () => {}
      node.tpm.register.reset()
    }
    const { status, body } = await node.launch()
    assert.deepEqual([status, body['code']], [503, 'ATTEST_TPM_RESTARTED'])
    await eventually(() => agent.status().log.resetCount === before + 1 && agent.status().uplink.state === 'connected')
    assert.equal((await node.launch()).status, 200)
    assert.equal(await node.agrees(), true)
  })

  it('in mode audit starts whatever the verifier says, without a ticket, and says what it said', async () => {
    node.verifier.script = onLaunch((peer, body) => peer.denied(body, 'LAUNCH_DENIED', ['no']))
    const agent = await node.connected({ mode: 'audit' })
    const { status, body } = await node.launch()
    assert.equal(status, 200)
    assert.deepEqual([body['decision'], body['mode'], body['ticket']], ['allowed', 'audit', undefined])
    assert.deepEqual(body['objection'], { code: 'LAUNCH_DENIED', reasons: ['no'] })
    const last = (await node.log()).at(-1)
    assert.deepEqual([last?.record, 'ticket' in (last ?? {})], ['launch', false])
    assert.equal(agent.status().mode, 'audit')
  })

  it('in mode audit starts without a verifier, too', async () => {
    await node.verifier.stop()
    const agent = await node.start({ mode: 'audit' })
    await eventually(() => agent.status().uplink.state === 'unreachable')
    const { status, body } = await node.launch()
    assert.deepEqual([status, (body['objection'] as { code: string }).code], [200, 'UPLINK_UNREACHABLE'])
  })

  it('in mode audit carries a ticket when the verifier gives one', async () => {
    await node.connected({ mode: 'audit' })
    const { body } = await node.launch()
    assert.equal(typeof body['ticket'], 'string')
    assert.equal(body['objection'], undefined)
  })

  it('in mode off asks nobody, and is measured', async () => {
    const agent = await node.start({}, node.loaded({ mode: 'off' }, undefined))
    assert.deepEqual(agent.status().uplink, { state: 'unused' })
    const { status, body } = await node.launch()
    assert.deepEqual([status, body['mode']], [200, 'off'])
    assert.equal(node.verifier.connections, 0)
    const last = (await node.log()).at(-1)
    assert.ok(last?.record === 'launch' && last.mode === 'off')
    assert.equal(await node.agrees(), true)
  })

  for (const mode of ['audit', 'off'] as const) {
    it(`in mode ${mode} is refused when it cannot be measured`, async () => {
      const agent = await node.start({ mode })
      if (mode === 'audit') await eventually(() => agent.status().uplink.state === 'connected')
      node.tpm.before = (called) => {
        if (called === 'extend') throw Object.assign(new Error('gone'), { code: 'TPM_GONE' })
      }
      const { status, body } = await node.launch()
      assert.deepEqual([status, body['code']], [503, 'TPM_GONE'])
      node.tpm.before = () => {}
    })
  }

  const bodies = [
    { name: 'nothing', body: null, code: 'LAUNCH_BODY_INVALID' },
    { name: 'a list', body: [], code: 'LAUNCH_BODY_INVALID' },
    { name: 'an unknown field', over: { extra: 1 }, code: 'LAUNCH_REQUEST_INVALID' },
    { name: 'a node that it names itself', over: { node: zero }, code: 'LAUNCH_REQUEST_INVALID' },
    { name: 'no images', over: { images: [] }, code: 'LAUNCH_REQUEST_INVALID' },
    { name: 'a relative pod directory', over: { podDirectory: 'pods/x' }, code: 'LAUNCH_BODY_INVALID' },
    { name: "another pod's directory", over: { podDirectory: '/var/pods/other' }, code: 'LAUNCH_BODY_INVALID' },
    { name: 'no pod directory', over: { podDirectory: undefined }, code: 'LAUNCH_BODY_INVALID' },
    {
      name: 'a manifest whose digest is another',
      over: { pod: { ...podLaunch('6f9619ff-8b86-4d01-b42d-00c04fc964ff').pod, manifestSha256: zero } },
      code: 'LAUNCH_BODY_INVALID',
    },
  ]
  it('that is not one is refused before anything is measured', async () => {
    await node.connected()
    const { length } = node.tpm.calls
    for (const { name, body, over, code } of bodies) {
      const sent = body === undefined ? { ...node.pod().body, ...over } : body
      const answer = await localCall(node.socketPath, 'POST', '/v1/launches', sent)
      assert.equal(answer.status, 400, name)
      assert.equal((answer.body as { code: string }).code, code, name)
    }
    assert.equal(node.tpm.calls.length, length)
  })
})
