import assert from 'node:assert/strict'
import { type Simulated, simulate, startSimulated } from './support.ts'

const COUNT = 40
const SHARES = 'wrong-nonce=5%,log-fork=5%,reset-replay=5%,silent=5%,slow=5%,flood=5%'

describe('a simulated fleet', () => {
  describe('with nodes of every misbehaving kind', () => {
    let simulated: Simulated
    before(async () => {
      simulated = await startSimulated(COUNT)
    })
    after(async () => await simulated.stop())

    it('ends with the verdict that each node deserves, and with no false one', async () => {
      const { nodes, summary } = await simulate(simulated, { count: COUNT, shares: SHARES }, (nodes) =>
        nodes.every((node) => node.deserved),
      )
      assert.equal(summary.falseVerdicts, 0, JSON.stringify(summary.falseVerdictsTold))
      assert.equal(summary.enrolled, COUNT)
      assert.equal(summary.allDeserved, true)
      const counts = Object.fromEntries(summary.behaviours.map((b) => [b.behaviour, b.nodes]))
      assert.deepEqual(counts, {
        ...{ healthy: 28, 'wrong-nonce': 2, 'log-fork': 2, 'reset-replay': 2, silent: 2, slow: 2, flood: 2 },
      })
      assert.deepEqual(Object.keys(summary.refusals).sort(), [
        'ATTEST_EXTRA_DATA_MISMATCH',
        'SESSION_TOO_MANY_MESSAGES',
      ])
      assert.ok((summary.latencyMs?.p50 ?? 0) > 0)
      // the verifier's own record says the same
      const stored = await simulated.verifier.withStore(async (store) => await store.nodes())
      const of = new Map(stored.map((record) => [record.nodeId, record]))
      for (const { nodeId, behaviour } of nodes) {
        const record = of.get(nodeId)
        if (behaviour === 'log-fork' || behaviour === 'reset-replay') assert.equal(record?.tier, 'contraindicated')
        if (behaviour === 'healthy' || behaviour === 'slow') assert.equal(record?.tier, 'affirming')
        assert.equal(record?.quarantine !== undefined, behaviour === 'reset-replay', behaviour)
      }
    })
  })

  for (const ak of ['p256', 'rsa'] as const) {
    describe(`with ${ak} keys that are kept`, () => {
      const count = 4
      let simulated: Simulated
      before(async () => {
        simulated = await startSimulated(count, ak)
      })
      after(async () => await simulated.stop())

      it('is the same fleet in the next run, which is another boot of its machines', async () => {
        const ids: string[][] = []
        for (let run = 0; run < 2; run++) {
          const { nodes, summary } = await simulate(simulated, { count, ak }, (_, tally) => tally.rounds >= 3 * count)
          assert.equal(summary.falseVerdicts, 0, JSON.stringify(summary.falseVerdictsTold))
          assert.equal(summary.behaviours[0]?.deserved, count)
          ids.push(nodes.map((node) => node.nodeId))
        }
        assert.deepEqual(ids[0], ids[1])
        const stored = await simulated.verifier.withStore(async (store) => await store.nodes())
        assert.equal(stored.length, count)
      })

      it('comes again by itself when its connections are cut', async () => {
        let cut = false
        const { summary } = await simulate(simulated, { count, ak }, (_, tally, fleet) => {
          if (!cut && tally.rounds >= 2 * count) {
            cut = true
            fleet.cut()
          }
          return cut && fleet.connections === count && tally.rounds >= 4 * count
        })
        assert.equal(summary.connectionsLost, count)
        assert.equal(summary.falseVerdicts, 0, JSON.stringify(summary.falseVerdictsTold))
      })
    })
  }
})
