import assert from 'node:assert/strict'
import { claimsOf } from '../../support/agent-peer.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'

describe('two connections of one node', () => {
  let fleet: Fleet
  before(async () => {
    fleet = await startFleet(1)
  })
  after(async () => await fleet?.stop())

  it('are no reason to fail it: what was asked for before the other was heard is asked for again', async () => {
    const node = fleet.node(0)
    const first = await fleet.connect(node)
    await first.enrol()
    assert.equal((await first.prove()).tier, 'affirming')
    const second = await fleet.connect(node)
    second.hello()
    await second.next('status')
    await second.next('challenge') // for the log from where the first connection had brought it
    const answer = await first.launch(node.measured().bytes)
    assert.ok(answer.t === 'ticket')
    node.launch(claimsOf(answer.ticket))
    second.quote({ t: 'evidence', purpose: 'session' })
    assert.equal(await second.refused(), 'NODE_CHANGED')
    const third = await fleet.connect(node)
    assert.equal((await third.login()).tier, 'affirming')
    const verdicts = await fleet.verifier.withStore(async (store) => await store.verdicts(node.nodeId, 10))
    assert.deepEqual(
      verdicts.map(({ tier }) => tier),
      ['affirming'],
    )
  })
})
