import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { toHex } from '../../../attestation/base/index.ts'
import { digest } from '../../../attestation/crypto/index.ts'
import { checkTicket, encodeLaunchRequest, verifyTicket } from '../../../attestation/protocol/index.ts'
import { operate } from '../../../attestation/store/index.ts'
import { claimsOf } from '../../support/agent-peer.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'
import { launchRequest } from '../../support/launch-request.ts'

const uuid = (n: number): string => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`
const pod = (n: number) => ({ pod: { ...launchRequest().pod, uuid: uuid(n) } })

describe('a launch', () => {
  let fleet: Fleet
  let used = 0
  const proven = async () => await fleet.proven(used++)
  before(async () => {
    fleet = await startFleet(16)
  })
  afterEach(async () => await fleet.disconnect())
  after(async () => await fleet.stop())

  it('is allowed with a ticket that an agent accepts, and proven by the next quote', async () => {
    const peer = await proven()
    const { request, bytes } = peer.node.measured()
    const answer = await peer.launch(bytes)
    assert.equal(answer.t, 'ticket')
    assert.ok(answer.t === 'ticket')
    const [jwk] = fleet.verifier.trust.ticketKeys
    assert.ok(jwk)
    const keys = new Map([[fleet.verifier.trust.verifierId, createPublicKey({ key: { ...jwk }, format: 'jwk' })]])
    const claims = await verifyTicket(answer.ticket, keys, new Date(), 5)
    const record = checkTicket(claims, {
      nodeId: peer.node.nodeId,
      podUuid: request.pod.uuid,
      requestSha256: toHex(digest('sha256', bytes)),
      akName: toHex(peer.node.tpm.ak.name),
      resetCount: peer.node.tpm.clock.resetCount,
      restartCount: 0,
      pcr: 15,
      registers: { sha256: peer.node.tpm.register('sha256', 15) },
      mode: 'enforce',
    })
    assert.deepEqual(claims.policy.allowedBy, ['affirmed'])
    peer.node.record(record)
    assert.equal(claims.register.banks.sha256?.after, toHex(peer.node.tpm.register('sha256', 15)))
    peer.quote({ t: 'evidence', purpose: 'periodic' })
    const result = await peer.next('result')
    assert.equal(result.tier, 'affirming', JSON.stringify(result.findings))
    const decisions = await fleet.verifier.withStore(async (s) => await s.decisions(peer.node.nodeId, 10))
    assert.deepEqual(
      decisions.map((d) => [d.outcome, d.ticketId]),
      [['allowed', claims.jti]],
    )
    const evidence = await fleet.verifier.withStore(async (s) => await s.evidence(decisions[0]?.evidenceSha256 ?? ''))
    assert.ok(evidence && evidence.length > 0)
  })

  it('is denied in words when no policy matches, and the denial is kept', async () => {
    const peer = await proven()
    const { bytes } = peer.node.measured({ mode: 'audit' }) // the log says enforce
    const answer = await peer.launch(bytes)
    assert.ok(answer.t === 'denied')
    assert.equal(answer.code, 'LAUNCH_NOT_AS_MEASURED')
    assert.match(answer.reasons.join('\n'), /request\.mode/)
    const [decision] = await fleet.verifier.withStore(async (s) => await s.decisions(peer.node.nodeId, 10))
    assert.equal(decision?.outcome, 'denied')
    assert.equal(decision?.ticketId, undefined)
  })

  for (const [what, forged] of [
    [
      'another pod than was measured',
      (r: ReturnType<typeof launchRequest>) => ({ ...r, pod: { ...r.pod, uuid: uuid(99) } }),
    ],
    [
      'another stage1 tree',
      (r: ReturnType<typeof launchRequest>) => ({
        ...r,
        stage1: { ...r.stage1, tree: `erofs-verity-2:sha256:${'9'.repeat(64)}` },
      }),
    ],
    ['another network', (r: ReturnType<typeof launchRequest>) => ({ ...r, network: 'host' as const })],
    ['another node', (r: ReturnType<typeof launchRequest>) => ({ ...r, node: '9'.repeat(64) })],
  ] as const) {
    it(`is denied for ${what}`, async () => {
      const peer = await proven()
      const { request } = peer.node.measured()
      const answer = await peer.launch(encodeLaunchRequest(forged(request)))
      assert.ok(answer.t === 'denied')
      assert.equal(answer.code, 'LAUNCH_NOT_AS_MEASURED')
    })
  }

  it('is denied, not failed, for a request that is no JSON or not canonical', async () => {
    const peer = await proven()
    const { bytes } = peer.node.measured()
    for (const [request, code] of [
      [Buffer.from('no json'), 'LAUNCH_REQUEST_INVALID'],
      [Buffer.concat([bytes, Buffer.from(' ')]), 'LAUNCH_REQUEST_NOT_CANONICAL'],
    ] as const) {
      const answer = await peer.launch(request)
      assert.ok(answer.t === 'denied')
      assert.equal(answer.code, code)
    }
    assert.equal((await peer.launch(bytes)).t, 'ticket') // and the connection goes on
  })

  it('is denied when the pod was never measured', async () => {
    const peer = await proven()
    const answer = await peer.launch(encodeLaunchRequest(launchRequest({ node: peer.node.nodeId })))
    assert.ok(answer.t === 'denied')
    assert.equal(answer.code, 'LAUNCH_NOT_AS_MEASURED')
  })

  it('is denied when records lie behind the quote: the ticket would name a register of the past', async () => {
    const peer = await proven()
    const { bytes } = peer.node.measured()
    peer.node.append({ record: 'denied', uuid: uuid(5), request: 'c'.repeat(64), code: 'X' })
    const answer = await peer.launch(bytes)
    assert.ok(answer.t === 'denied')
    assert.match(answer.reasons.join(), /behind the proven log/)
  })

  it('is denied when its quote proves nothing, however much an earlier one did and whatever policy says', async () => {
    const permissive = await startFleet(1, { policy: 'permit (principal, action, resource);' })
    try {
      const peer = await permissive.proven(0)
      const { bytes } = peer.node.measured()
      peer.quote({ t: 'evidence', purpose: 'periodic' })
      await peer.next('result')
      peer.node.tpm.extend(15, Buffer.from('in no log'))
      const answer = await peer.launch(bytes, { log: { bytes: new Uint8Array(0), more: true } })
      assert.ok(answer.t === 'denied')
      assert.match(answer.reasons.join(), /request\.log/)
    } finally {
      await permissive.stop()
    }
  })

  it('has one winner when two tickets are out on one register, and the loser cannot be used', async () => {
    const peer = await proven()
    const one = peer.node.measured(pod(1))
    const two = peer.node.measured(pod(2))
    const first = await peer.launch(one.bytes, {}, 1)
    const second = await peer.launch(two.bytes, {}, 2)
    assert.ok(first.t === 'ticket' && second.t === 'ticket')
    const [a, b] = [claimsOf(first.ticket), claimsOf(second.ticket)]
    assert.deepEqual(a.register.banks.sha256?.before, b.register.banks.sha256?.before)
    peer.node.launch(b)
    peer.quote({ t: 'evidence', purpose: 'periodic' })
    assert.equal((await peer.next('result')).tier, 'affirming')
    peer.node.launch(a) // dead: another launch landed first
    peer.quote({ t: 'evidence', purpose: 'periodic' })
    const result = await peer.next('result')
    assert.equal(result.tier, 'contraindicated')
    assert.match(JSON.stringify(result.findings), /launch-log\.ticket/)
    // and nothing is authorised for such a node, whatever policy says
    const answer = await peer.launch(peer.node.measured(pod(3)).bytes)
    assert.ok(answer.t === 'denied')
    assert.equal(answer.code, 'NODE_CONTRAINDICATED')
  })

  it('answers a frame that is sent again with no second ticket', async () => {
    const peer = await proven()
    const { bytes } = peer.node.measured()
    const frame = peer.quote({ t: 'launch', id: 1, request: bytes })
    await peer.next('ticket')
    peer.sendRaw(frame)
    assert.equal(await peer.refused(), 'NONCE_UNKNOWN')
  })

  it('is refused before the session quote', async () => {
    const peer = await fleet.connect(fleet.node(used++))
    await peer.enrol()
    await peer.next('challenge')
    peer.quote({ t: 'launch', id: 1, request: peer.node.measured().bytes })
    assert.equal(await peer.refused(), 'SESSION_UNEXPECTED_MESSAGE')
  })

  it('is refused with a periodic quote in place of a launch quote', async () => {
    const peer = await proven()
    const { bytes } = peer.node.measured()
    // signed for the periodic purpose, carried in a launch: the label in extraData differs
    peer.quote(
      { t: 'evidence', purpose: 'periodic' },
      {
        body: ({ nonce, pcrs, log }) => ({ t: 'launch', id: 1, request: bytes, nonce, pcrs, log }),
      },
    )
    assert.equal(await peer.refused(), 'ATTEST_EXTRA_DATA_MISMATCH')
  })

  it('is denied after an operator refuses the node, at once', async () => {
    const peer = await proven()
    const { bytes } = peer.node.measured()
    await fleet.verifier.withStore(async (store) => {
      await operate(store, peer.node.nodeId, { act: 'refuse' }, 'anna')
    })
    peer.quote({ t: 'launch', id: 1, request: bytes })
    assert.match(await peer.refused(), /^NODE_(REFUSED|CHANGED)$/)
    assert.equal((await fleet.verifier.withStore(async (s) => await s.decisions(peer.node.nodeId, 10))).length, 0)
  })
})
