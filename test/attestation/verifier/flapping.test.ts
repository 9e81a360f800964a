import assert from 'node:assert/strict'
import { type Fleet, startFleet } from '../../support/fleet.ts'

/** More than any machine recovers within minutes. */
const TRIES = 60

describe('a node whose verdict goes to and fro', () => {
  let fleet: Fleet
  before(async () => {
    fleet = await startFleet(1, { settings: 'limits: {messagesPerSecond: 1000}\n' })
  })
  after(async () => await fleet?.stop())

  it('may not recover without end, for each change is kept with its evidence; it fails as often as it likes', async () => {
    let peer = await fleet.proven(0)
    const { nodeId } = peer.node
    let recovered = 0
    let refused: string | undefined
    while (refused === undefined && recovered < TRIES) {
      peer.quote({ t: 'evidence', purpose: 'periodic' }, { log: { offset: 7 } })
      assert.equal((await peer.next('result')).tier, 'contraindicated')
      peer.quote({ t: 'evidence', purpose: 'periodic' })
      try {
        assert.equal((await peer.next('result')).tier, 'affirming')
        recovered++
      } catch (err) {
        refused = String(err)
      }
    }
    assert.match(refused ?? 'it recovered each time', /NODE_OVER_BUDGET.*retryAfterMs/)
    peer = await fleet.connect(peer.node) // another connection does not help
    peer.hello()
    await peer.next('status')
    const challenge = await peer.next('challenge')
    peer.quote({ t: 'evidence', purpose: challenge.purpose })
    assert.equal(await peer.refused(), 'NODE_OVER_BUDGET')
    const node = await fleet.verifier.withStore(async (s) => await s.node(nodeId))
    assert.equal(node?.standing, 'failed')
  })
})
