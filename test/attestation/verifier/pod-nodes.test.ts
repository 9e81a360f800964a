import assert from 'node:assert/strict'
import { toHex } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { kindOf, type NodeRecord, operate } from '../../../attestation/store/index.ts'
import { recordPodTpm } from '../../../attestation/store/pod-tpms.ts'
import { type AgentPeer, claimsOf, SoftNode } from '../../support/agent-peer.ts'
import { ecKey, ekExtensions, makeCertificate, spki } from '../../support/certificates.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { launchRequest, VIRTUAL_MACHINE } from '../../support/launch-request.ts'
import { SoftTpm } from '../../support/soft-tpm.ts'

const sha256 = (bytes: Uint8Array): string => toHex(digest('sha256', bytes))
const authority = ecKey()

/** A TPM that a host has made for a pod, with a certificate by the host's own CA. */
class PodTpmFixture {
  readonly tpm = new SoftTpm()
  readonly node: SoftNode
  readonly certificate: Uint8Array

  constructor(verifierId: string, of: SoftTpm = this.tpm) {
    this.node = new SoftNode(this.tpm, verifierId)
    this.certificate = makeCertificate({
      ...{ subject: '', key: { spki: of.ekSpki() }, issuer: 'Node CA', issuerKey: authority },
      extensions: Object.values(ekExtensions('ec')),
    })
  }

  get claim() {
    return { node: this.node.nodeId, certificate: sha256(this.certificate), authority: sha256(spki(authority)) }
  }
}

describe('pods as nodes', () => {
  let fleet: Fleet
  let used = 0
  let uuids = 0
  const fresh = (): PodTpmFixture => new PodTpmFixture(fleet.verifier.trust.verifierId)
  const record = async (nodeId: string): Promise<NodeRecord | undefined> =>
    await fleet.verifier.withStore(async (s) => await s.node(nodeId))
  before(async () => {
    fleet = await startFleet(18, { enrolment: 'admission: listed\n  pods: admit' })
  })
  afterEach(async () => await fleet.disconnect())
  after(async () => await fleet.stop())

  /** Asks for a pod with this TPM. */
  async function ask(host: AgentPeer, claim: PodTpmFixture['claim']) {
    const uuid = `00000000-0000-4000-8000-${(++uuids).toString(16).padStart(12, '0')}`
    const { bytes } = host.node.measured({
      pod: { ...launchRequest().pod, uuid },
      stage1: { ...launchRequest().stage1, flavour: 'kvm', machine: VIRTUAL_MACHINE.machine },
      guest: { ...VIRTUAL_MACHINE.guest, tpm: claim },
    })
    return { uuid, answer: await host.launch(bytes) }
  }

  /** A pod that its host runs, as the verifier knows. */
  async function running(host: AgentPeer, pod: PodTpmFixture): Promise<string> {
    const { uuid, answer } = await ask(host, pod.claim)
    assert.ok(answer.t === 'ticket', JSON.stringify(answer))
    host.node.launch(claimsOf(answer.ticket))
    await again(host)
    return uuid
  }
  async function again(peer: AgentPeer) {
    peer.quote({ t: 'evidence', purpose: 'periodic' })
    return await peer.result()
  }
  async function enrolled(pod: PodTpmFixture): Promise<AgentPeer> {
    const peer = await fleet.connect(pod.node)
    await peer.enrol({ ekCertificate: pod.certificate })
    return peer
  }
  async function refusedAt(pod: PodTpmFixture, over: Parameters<AgentPeer['hello']>[0] = {}): Promise<string> {
    const peer = await fleet.connect(pod.node)
    peer.hello({ ekCertificate: pod.certificate, ...over })
    return await peer.refused()
  }

  it('are admitted with their host, have its labels, and are known as its pods', async () => {
    const host = await fleet.proven(used++)
    await fleet.verifier.withStore(
      async (s) => await operate(s, host.node.nodeId, { act: 'label', set: { zone: 'a' }, remove: [] }, 'somebody'),
    )
    const pod = fresh()
    const uuid = await running(host, pod)
    const peer = await enrolled(pod)
    const result = await peer.prove()
    assert.equal(result.tier, 'affirming', JSON.stringify(result.findings))
    assert.deepEqual(
      result.findings.filter((f) => f.rule === 'pod.host').map((f) => f.tier),
      ['affirming'],
    )
    const node = (await record(pod.node.nodeId)) ?? assert.fail()
    assert.equal(kindOf(node), 'pod')
    assert.deepEqual(
      [node.admission, node.admittedBy, node.labels, node.standing, node.endorsement?.host],
      ['admitted', 'host', { zone: 'a' }, 'trusted', { node: host.node.nodeId, pod: uuid }],
    )
    assert.equal(kindOf((await record(host.node.nodeId)) ?? assert.fail()), 'machine')
  })

  it('are refused where no host has said anything of their EK', async () => {
    await fleet.proven(used++)
    assert.equal(await refusedAt(fresh()), 'EK_NOT_TRUSTED')
  })

  it('are refused with another certificate, with none, and with another key under the right certificate', async () => {
    const host = await fleet.proven(used++)
    const pod = fresh()
    await running(host, pod)
    assert.equal(await refusedAt(pod, { ekCertificate: fresh().certificate }), 'EK_NOT_TRUSTED')
    const peer = await fleet.connect(pod.node)
    peer.hello()
    assert.equal(await peer.refused(), 'EK_NOT_TRUSTED')
    // the host measured the ID of one TPM and the certificate of another
    const mixed = new PodTpmFixture(fleet.verifier.trust.verifierId, new SoftTpm())
    await running(host, mixed)
    assert.equal(await refusedAt(mixed), 'EK_NOT_TRUSTED')
    assert.equal((await enrolled(pod)).closeCode, undefined) // nothing of this has harmed it
  })

  it('belong to one host and one pod: who claims the TPM after that is denied', async () => {
    const [host, other] = [await fleet.proven(used++), await fleet.proven(used++)]
    const pod = fresh()
    await running(host, pod)
    for (const thief of [other, host]) {
      const { answer } = await ask(thief, pod.claim)
      assert.ok(answer.t === 'denied')
      assert.equal(answer.code, 'POD_TPM_TAKEN')
    }
  })

  it('are asked for again by their host, which had no answer, as if it were the first time', async () => {
    const host = await fleet.proven(used++)
    const pod = fresh()
    const { bytes } = host.node.measured({
      stage1: { ...launchRequest().stage1, flavour: 'kvm', machine: VIRTUAL_MACHINE.machine },
      guest: { ...VIRTUAL_MACHINE.guest, tpm: pod.claim },
    })
    assert.equal((await host.launch(bytes)).t, 'ticket')
    const answer = await host.launch(bytes)
    assert.ok(answer.t === 'ticket', JSON.stringify(answer))
    host.node.launch(claimsOf(answer.ticket))
    await again(host)
    assert.notEqual((await (await enrolled(pod)).prove()).tier, 'contraindicated')
  })

  it('are no way to take over a machine: a host that claims its TPM is denied', async () => {
    const [host, machine] = [await fleet.proven(used++), await fleet.proven(used++)]
    const { answer } = await ask(host, { ...fresh().claim, node: machine.node.nodeId })
    assert.ok(answer.t === 'denied')
    assert.equal(answer.code, 'POD_TPM_TAKEN')
    assert.equal((await again(machine)).tier, 'affirming')
    assert.equal((await record(machine.node.nodeId))?.admittedBy, 'listed')
  })

  it('are no way to keep a machine away that has yet to come: who is listed cannot be claimed, and comes as what it is', async () => {
    const host = await fleet.proven(used++)
    const coming = used++
    const claim = { ...fresh().claim, node: fleet.node(coming).nodeId }
    const { uuid, answer } = await ask(host, claim)
    assert.ok(answer.t === 'denied')
    assert.equal(answer.code, 'POD_TPM_TAKEN')
    // claimed before it was listed
    const claimed = { ...claim, host: host.node.nodeId, podUuid: uuid }
    await fleet.verifier.withStore(async (s) => await s.transact((tx, at) => recordPodTpm(tx, at, claimed)))
    const machine = await fleet.proven(coming)
    assert.equal(kindOf((await record(machine.node.nodeId)) ?? assert.fail()), 'machine')
  })

  it('do not vouch for pods of their own', async () => {
    const host = await fleet.proven(used++)
    const pod = fresh()
    await running(host, pod)
    const peer = await enrolled(pod)
    await peer.prove()
    const { answer } = await ask(peer, fresh().claim)
    assert.ok(answer.t === 'denied')
    assert.equal(answer.code, 'POD_TPM_NESTED')
  })

  it('fail with their host, at once', async () => {
    const host = await fleet.proven(used++)
    const pod = fresh()
    await running(host, pod)
    const peer = await enrolled(pod)
    assert.equal((await peer.prove()).tier, 'affirming')
    host.node.tpm.extend(15, new Uint8Array([1])) // what its log says nothing of
    assert.equal((await again(host)).tier, 'contraindicated')
    const result = await peer.prove() // it was asked anew
    assert.equal(result.tier, 'contraindicated')
    assert.match(JSON.stringify(result.findings), /pod\.host.*its host [0-9a-f]{12} is failed/)
    assert.equal((await record(pod.node.nodeId))?.standing, 'failed')
  })

  it('fail when an operator refuses their host, and are not taken back while it is', async () => {
    const host = await fleet.proven(used++)
    const pod = fresh()
    await running(host, pod)
    const peer = await enrolled(pod)
    await peer.prove()
    await fleet.verifier.withStore(async (s) => await operate(s, host.node.nodeId, { act: 'refuse' }, 'somebody'))
    const result = await peer.prove()
    assert.equal(result.tier, 'contraindicated')
    assert.match(JSON.stringify(result.findings), /its host [0-9a-f]{12} is refused/)
    const late = fresh()
    const second = await fleet.proven(used++)
    await running(second, late)
    await fleet.verifier.withStore(async (s) => await operate(s, second.node.nodeId, { act: 'refuse' }, 'somebody'))
    assert.equal(await refusedAt(late), 'EK_NOT_TRUSTED')
  })

  it('fail when their pod has ended, and with the boot of their host', async () => {
    const host = await fleet.proven(used++)
    const pod = fresh()
    const uuid = await running(host, pod)
    const peer = await enrolled(pod)
    await peer.prove()
    host.node.record({ record: 'exited', uuid, reason: 'exited', statuses: {} })
    assert.equal((await again(host)).tier, 'affirming')
    const result = await again(peer)
    assert.equal(result.tier, 'contraindicated')
    assert.match(JSON.stringify(result.findings), /does not run this pod any more/)
  })

  it('are refused where the verifier takes none, which is so unless it is told otherwise', async () => {
    const strict = await startFleet(1)
    try {
      const host = await strict.proven(0)
      const pod = new PodTpmFixture(strict.verifier.trust.verifierId)
      const { bytes } = host.node.measured({
        stage1: { ...launchRequest().stage1, flavour: 'kvm', machine: VIRTUAL_MACHINE.machine },
        guest: { ...VIRTUAL_MACHINE.guest, tpm: pod.claim },
      })
      assert.equal((await host.launch(bytes)).t, 'ticket')
      const peer = await strict.connect(pod.node)
      peer.hello({ ekCertificate: pod.certificate })
      assert.equal(await peer.refused(), 'EK_NOT_TRUSTED')
    } finally {
      await strict.stop()
    }
  })
})
