import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { activationProof } from '../../../attestation/protocol/index.ts'
import { operate, saveToken } from '../../../attestation/store/index.ts'
import { objectAttributes } from '../../../attestation/tpm2/index.ts'
import { AgentPeer, SoftNode } from '../../support/agent-peer.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { newAk, random, SoftTpm } from '../../support/soft-tpm.ts'

describe('enrolment', () => {
  let fleet: Fleet
  let used = 0
  const nextNode = () => fleet.node(used++)
  before(async () => {
    fleet = await startFleet(18)
  })
  afterEach(async () => await fleet.disconnect())
  after(async () => await fleet.stop())
  const act = async (nodeId: string, act: 'admit' | 'refuse' | 'rebind' | 'release') =>
    await fleet.verifier.withStore(async (store) => await operate(store, nodeId, { act }, 'anna'))

  it('admits a listed node that shows its TPM, with an AK certificate of the CA, and challenges it', async () => {
    const peer = await fleet.connect(nextNode())
    const status = await peer.enrol()
    assert.equal(status.admission, 'admitted')
    assert.equal(status.nodeId, peer.node.nodeId)
    assert.ok(status.akCertificate)
    const certificate = new X509Certificate(status.akCertificate)
    const ca = new X509Certificate(readFileSync(join(fleet.verifier.directory, 'data/ca.pem')))
    assert.ok(certificate.verify(ca.publicKey))
    assert.match(certificate.subjectAltName ?? '', new RegExp(peer.node.nodeId))
    const result = await peer.prove()
    assert.equal(result.tier, 'affirming', JSON.stringify(result.findings))
    assert.match(result.result, /^[\w-]+\.[\w-]+\.[\w-]+$/)
  })

  it('does not activate a known AK again: its quote is its login', async () => {
    const node = nextNode()
    const first = await fleet.connect(node)
    await first.enrol()
    await first.prove()
    const second = await fleet.connect(node)
    assert.equal((await second.login()).tier, 'affirming')
    assert.equal(await first.refused(), 'NODE_CHANGED') // the older connection of the same node
  })

  it('refuses an EK that nobody vouches for, and says how to', async () => {
    const stranger = new SoftNode(new SoftTpm(), fleet.verifier.trust.verifierId)
    const peer = await fleet.connect(stranger)
    peer.hello()
    const error = await peer.next('error')
    assert.equal(error.code, 'EK_NOT_TRUSTED')
    assert.match(error.message, /holdfast roots import/)
    assert.match(error.message, new RegExp(stranger.nodeId))
    assert.equal(await fleet.verifier.withStore(async (s) => await s.node(stranger.nodeId)), undefined)
  })

  it('refuses an EK certificate that is none', async () => {
    const stranger = new SoftNode(new SoftTpm(), fleet.verifier.trust.verifierId)
    const peer = await fleet.connect(stranger)
    peer.hello({ ekCertificate: random(300) })
    assert.equal(await peer.refused(), 'EK_NOT_TRUSTED')
  })

  it('refuses a wrong proof, and binds nothing', async () => {
    const node = nextNode()
    const peer = await fleet.connect(node)
    peer.hello()
    await peer.next('activate')
    peer.send({ t: 'activation', proof: random(32) })
    assert.equal(await peer.refused(), 'ACTIVATION_FAILED')
    assert.equal(await fleet.verifier.withStore(async (s) => await s.node(node.nodeId)), undefined)
  })

  it('refuses a secret that was activated for another connection', async () => {
    const node = nextNode()
    const victim = await fleet.connect(node)
    const attacker = await fleet.connect(node)
    victim.hello()
    const challenge = await victim.next('activate')
    attacker.hello()
    await attacker.next('activate')
    // the TPM answered the victim's challenge; its proof is carried to the attacker's connection
    const secret = node.tpm.activate(challenge)
    attacker.send({ t: 'activation', proof: activationProof(secret, victim.exporter, node.tpm.ak.name) })
    assert.equal(await attacker.refused(), 'ACTIVATION_FAILED')
    // and so is its own challenge, proved on the wrong connection
    const other = await fleet.connect(node)
    other.hello()
    const own = node.tpm.activate(await other.next('activate'))
    other.send({ t: 'activation', proof: activationProof(own, victim.exporter, node.tpm.ak.name) })
    assert.equal(await other.refused(), 'ACTIVATION_FAILED')
  })

  it('refuses an activation that was not asked for, and a second hello', async () => {
    const first = await fleet.connect(nextNode())
    first.send({ t: 'activation', proof: random(32) })
    assert.equal(await first.refused(), 'SESSION_UNEXPECTED_MESSAGE')
    const second = await fleet.connect(nextNode())
    second.hello()
    await second.next('activate')
    second.hello()
    assert.equal(await second.refused(), 'SESSION_UNEXPECTED_MESSAGE')
  })

  for (const [what, attributes, code] of [
    [
      'an AK that is not restricted',
      ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'sign'],
      'AK_NOT_RESTRICTED',
    ],
    ['an AK that can leave its TPM', ['sensitiveDataOrigin', 'userWithAuth', 'restricted', 'sign'], 'AK_NOT_FIXED_TPM'],
    [
      'an AK that also decrypts',
      ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'restricted', 'sign', 'decrypt'],
      'AK_DECRYPTS',
    ],
  ] as const) {
    it(`refuses ${what}`, async () => {
      const node = new SoftNode(new SoftTpm(), fleet.verifier.trust.verifierId)
      node.tpm.ak = newAk(objectAttributes(...attributes))
      const peer = await fleet.connect(node)
      peer.hello()
      assert.equal(await peer.refused(), code)
    })
  }

  it('refuses public areas that are no TPM structures', async () => {
    for (const bend of [{ akPublic: random(60) }, { ekPublic: random(60) }, { akPublic: Uint8Array.of(0) }]) {
      const peer = await fleet.connect(fleet.node(0))
      peer.hello(bend)
      assert.match(await peer.refused(), /^(AK|WIRE)_/)
    }
  })

  /** A node that is known by the AK it had when it proved itself `seconds` into its fifth boot. */
  const provedOnce = async (seconds: number): Promise<SoftNode> => {
    const node = nextNode()
    node.tpm.clock = { ...node.tpm.clock, clockMs: BigInt(seconds) * 1000n, resetCount: 5 }
    const first = await fleet.connect(node)
    await first.enrol()
    assert.equal((await first.prove()).tier, 'affirming')
    return node
  }

  /** TPM2_Clear and the boot after it: counters and clock at zero, the AK gone. */
  const clear = (node: SoftNode): void => {
    node.tpm.reset()
    node.tpm.clock = { clockMs: 0n, resetCount: 0, restartCount: 0, safe: true }
    node.tpm.ak = newAk()
    node.newBoot()
  }

  it('takes another AK of the same EK after TPM2_Clear, with a warning, and goes on', async () => {
    const node = await provedOnce(1000)
    clear(node)
    const second = await fleet.connect(node)
    await second.enrol()
    const result = await second.prove()
    assert.equal(result.tier, 'warning')
    assert.match(result.findings.find((f) => f.rule === 'continuity.counters')?.message ?? '', /the TPM was cleared/)
    second.quote({ t: 'evidence', purpose: 'periodic' })
    assert.equal((await second.next('result')).tier, 'affirming')
  })

  /** TPM2_Clear alone: the registers stay, and with them what the launch log of before has put there. */
  const clearWithoutBoot = (node: SoftNode): void => {
    node.tpm.clock = { clockMs: 0n, resetCount: 0, restartCount: 0, safe: true }
    node.tpm.ak = newAk()
    node.newBoot()
  }
  const comeAgain = async (node: SoftNode) => {
    const peer = await fleet.connect(node)
    await peer.enrol()
    return { peer, result: await peer.prove() }
  }

  it('goes on after TPM2_Clear without a reboot too, where the register is as it was proved and no pod runs', async () => {
    const node = await provedOnce(1000)
    clearWithoutBoot(node)
    const { peer, result } = await comeAgain(node)
    assert.equal(result.tier, 'warning', JSON.stringify(result.findings, null, 1))
    assert.match(
      result.findings.find((f) => f.rule === 'launch-log.start')?.message ?? '',
      /where the proof ended before the TPM resumed or was cleared/,
    )
    peer.quote({ t: 'evidence', purpose: 'periodic' })
    assert.equal((await peer.next('result')).tier, 'affirming')
    assert.equal((await peer.launch(node.measured().bytes)).t, 'ticket')
  })

  it('waits for the reboot after TPM2_Clear where something was extended that no quote has shown', async () => {
    const node = await provedOnce(1000)
    node.measured()
    clearWithoutBoot(node)
    const { peer, result } = await comeAgain(node)
    assert.equal(result.tier, 'contraindicated')
    peer.quote({ t: 'evidence', purpose: 'periodic' })
    assert.equal((await peer.next('result')).tier, 'contraindicated')
    clear(node)
    node.tpm.clock = { ...node.tpm.clock, resetCount: 1 }
    assert.notEqual((await comeAgain(node)).result.tier, 'contraindicated')
  })

  it('does not forget a quarantine with the AK', async () => {
    const node = await provedOnce(1000)
    node.tpm.clock = { ...node.tpm.clock, resetCount: 4 } // rolled back, same AK
    const second = await fleet.connect(node)
    assert.equal((await second.login()).tier, 'contraindicated')
    clear(node)
    const third = await fleet.connect(node)
    await third.enrol()
    assert.equal((await third.prove()).tier, 'contraindicated')
  })

  it('goes on with the log where the TPM was not cleared', async () => {
    const node = await provedOnce(1000)
    node.tpm.ak = newAk()
    const second = await fleet.connect(node)
    await second.enrol()
    const { tier, findings } = await second.prove()
    assert.equal(tier, 'affirming')
    assert.match(findings.find((f) => f.rule === 'continuity.counters')?.message ?? '', /same-boot/)
  })

  it('leaves another AK to an operator where it is told to', async () => {
    const strict = await startFleet(1, { enrolment: 'admission: listed\n  akReplacement: operator' })
    try {
      const node = strict.node(0)
      const first = await strict.connect(node)
      await first.enrol()
      await first.prove()
      node.tpm.ak = newAk()
      const second = await strict.connect(node)
      second.hello()
      assert.equal(await second.refused(), 'AK_NOT_BOUND')
      await strict.verifier.withStore(async (store) => await operate(store, node.nodeId, { act: 'rebind' }, 'anna'))
      const third = await strict.connect(node)
      await third.enrol()
      assert.equal((await third.prove()).tier, 'affirming')
    } finally {
      await strict.stop()
    }
  })

  it('refuses the AK of another node', async () => {
    const mine = nextNode()
    const first = await fleet.connect(mine)
    await first.enrol()
    const thief = nextNode()
    thief.tpm.ak = mine.tpm.ak
    const peer = await fleet.connect(thief)
    peer.hello()
    assert.equal(await peer.refused(), 'AK_OF_ANOTHER_NODE')
  })

  it('refuses a register that is not configured, and a TPM without a SHA-256 bank', async () => {
    for (const bend of [{ pcr: 16 }, { pcr: 23 }, { pcr: 14 }, { banks: ['sha1' as const] }]) {
      const peer = await fleet.connect(fleet.node(0))
      peer.hello(bend)
      assert.equal(await peer.refused(), 'REGISTER_NOT_ALLOWED')
    }
  })

  it('ends the connection of a node that is refused, and does not let it in again until admitted', async () => {
    const node = nextNode()
    const first = await fleet.connect(node)
    await first.enrol()
    await first.prove()
    await act(node.nodeId, 'refuse')
    assert.equal(await first.refused(), 'NODE_REFUSED')
    const second = await fleet.connect(node)
    second.hello()
    assert.equal(await second.refused(), 'NODE_REFUSED')
    await act(node.nodeId, 'admit')
    const third = await fleet.connect(node)
    assert.equal((await third.login()).tier, 'affirming')
  })

  it('knows its nodes again after a restart', async () => {
    const node = nextNode()
    const first = await fleet.connect(node)
    await first.enrol()
    await first.prove()
    await fleet.verifier.restart()
    const second = await AgentPeer.connect(node, fleet.verifier)
    try {
      second.hello()
      await second.next('status')
      const challenge = await second.next('challenge')
      assert.equal(challenge.log.offset, node.log.length) // only what is new will be sent
      second.quote({ t: 'evidence', purpose: 'session' })
      assert.equal((await second.next('result')).tier, 'affirming')
    } finally {
      await second.close()
    }
  })
})

describe('admission', () => {
  let fleet: Fleet
  afterEach(async () => await fleet.stop())

  it('lets a node wait that nobody has admitted, do nothing, and go on when it is', async () => {
    fleet = await startFleet(1, { enrolment: 'admission: manual' })
    const node = fleet.node(0)
    const peer = await fleet.connect(node)
    const status = await peer.enrol()
    assert.equal(status.admission, 'pending')
    assert.equal(status.akCertificate, undefined)
    assert.match(status.message, new RegExp(`holdfast nodes admit ${node.nodeId.slice(0, 12)}`))
    await fleet.verifier.withStore(async (s) => await operate(s, node.nodeId, { act: 'admit' }, 'anna'))
    const now = await peer.next('status')
    assert.equal(now.admission, 'admitted')
    assert.ok(now.akCertificate)
    assert.equal((await peer.prove()).tier, 'affirming')
  })

  it('ends the connection of a waiting node that sends a quote', async () => {
    fleet = await startFleet(1, { enrolment: 'admission: manual' })
    const peer = await fleet.connect(fleet.node(0))
    await peer.enrol()
    peer.selection = [{ bank: 'sha256', pcrs: [15 as never] }]
    peer.quote({ t: 'evidence', purpose: 'session' })
    assert.equal(await peer.refused(), 'SESSION_UNEXPECTED_MESSAGE')
  })

  it('spends a token once, for the node that shows its TPM, and gives its labels', async () => {
    fleet = await startFleet(3, { enrolment: 'admission: token' })
    const token = 'hft-test'
    const sha256 = createHash('sha256').update(token).digest('hex')
    await fleet.verifier.withStore(
      async (s) =>
        await saveToken(s, { sha256, labels: { zone: 'a' }, expiresAt: new Date(Date.now() + 60_000) }, 'anna'),
    )
    // without the TPM the token is not spent
    const liar = await fleet.connect(fleet.node(0))
    liar.hello({ token })
    await liar.next('activate')
    liar.send({ t: 'activation', proof: random(32) })
    assert.equal(await liar.refused(), 'ACTIVATION_FAILED')
    // a node that came without it waits, and may come again with it
    const node = fleet.node(1)
    const waiting = await fleet.connect(node)
    assert.equal((await waiting.enrol()).admission, 'pending')
    const peer = await fleet.connect(node)
    assert.equal((await peer.enrol({ token })).admission, 'admitted')
    assert.deepEqual((await fleet.verifier.withStore(async (s) => await s.node(node.nodeId)))?.labels, { zone: 'a' })
    const late = await fleet.connect(fleet.node(2))
    late.hello({ token })
    late.activate(await late.next('activate'))
    assert.equal(await late.refused(), 'TOKEN_REFUSED')
    assert.equal(await fleet.verifier.withStore(async (s) => await s.node(late.node.nodeId)), undefined)
  })
})
