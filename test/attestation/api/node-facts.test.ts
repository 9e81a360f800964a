import assert from 'node:assert/strict'
import { Value } from '@sinclair/typebox/value'
import { evidenceFacts } from '../../../attestation/api/evidence-facts.ts'
import { EvidenceFactsAnswer, NodeFacts } from '../../../attestation/api/fleet-view-schemas.ts'
import { nodeFacts } from '../../../attestation/api/node-facts.ts'
import { nodeMemory } from '../../../attestation/store/index.ts'
import { pcrIndex } from '../../../attestation/tpm2/index.ts'
import { type Fleet, startFleet } from '../../support/fleet.ts'

/** The launch log's register of software nodes. */
const LOG_PCR = 15

describe('facts of a node', () => {
  let fleet: Fleet
  before(async () => {
    fleet = await startFleet(1)
  })
  after(async () => await fleet?.stop())

  it('are those that its quote and its launch log have proved', async () => {
    const peer = await fleet.proven(0)
    const { nodeId, tpm } = peer.node
    const { evidence, memory } = await fleet.verifier.withStore(async (store) => {
      const [verdict] = await store.verdicts(nodeId, 1)
      const evidence = await store.evidence(verdict?.evidenceSha256 ?? '')
      return { evidence, memory: await store.query((db) => nodeMemory(db, nodeId)) }
    })
    assert.ok(evidence !== undefined && memory !== undefined)
    const value = Buffer.from(tpm.values([{ bank: 'sha256', pcrs: [pcrIndex(LOG_PCR)] }])[0]?.value ?? []).toString(
      'hex',
    )

    const kept = evidenceFacts(evidence)
    assert.ok(Value.Check(EvidenceFactsAnswer, kept))
    assert.equal(kept.purpose, 'session')
    assert.equal(kept.clock.resetCount, tpm.clock.resetCount)
    assert.equal(kept.pcrs.find((p) => p.bank === 'sha256' && p.pcr === LOG_PCR)?.value, value)
    assert.equal(kept.boot, null)
    assert.equal(kept.logs[0]?.source, 'launch')

    const facts = nodeFacts(memory)
    assert.ok(Value.Check(NodeFacts, facts))
    assert.deepEqual([facts.clock?.resetCount, facts.launchPcr], [tpm.clock.resetCount, LOG_PCR])
    assert.equal(facts.agent?.mode, 'enforce')
    assert.ok(facts.registers.some((r) => r.pcr === LOG_PCR && r.value === value && r.proved === 'launch-log'))
  })

  it('are none where what is kept cannot be read', () => {
    assert.equal(nodeFacts({ state: '{"v":9}', machine: 'x' }).clock, null)
    for (const bytes of [new Uint8Array(0), Uint8Array.of(0xa0), new Uint8Array(64).fill(0xff)]) {
      assert.equal(evidenceFacts(bytes), undefined)
    }
  })
})
