import assert from 'node:assert/strict'
import { join } from 'node:path'
import { PROJECT_ROOT, Service } from '../support/holdfast.ts'
import { type ProxyAction, TPM_CC, TpmProxy } from '../support/tpm-proxy.ts'
import {
  assertInStep,
  assertUsable,
  expectRefusal,
  needsWholePath,
  seenByVerifier,
  startNode,
  verifierSees,
  type WholeNode,
} from '../support/whole-path.ts'

describe('kill -9 of the verifier during a launch', () => {
  let node: WholeNode
  let proxy: TpmProxy
  let dying: Service | undefined

  before(async function () {
    needsWholePath(this)
    node = await startNode()
    const { d } = node
    await d.agent.stop()
    proxy = await TpmProxy.start(d.tpm.port)
    d.agentTcti = proxy.tcti
    await d.startAgent()
    await d.waitForUplink('connected')
  })
  afterEach(async () => {
    await dying?.stop('SIGKILL')
    dying = undefined
  })
  after(async () => {
    await proxy?.stop()
    await node?.d.stop()
  })

  async function comesBack(): Promise<void> {
    const { d } = node
    await d.startVerifier()
    await d.agent.stop() // it would wait a while before its next attempt
    await d.startAgent()
    await d.waitForUplink('connected')
    await assertInStep(d)
    await assertUsable(node)
    await verifierSees(d, 'a node in order', (n) => n.tier === 'affirming')
    const { verdicts } = await seenByVerifier(d)
    assert.deepEqual([...new Set(verdicts.map((v) => v.tier))], ['affirming'])
  }

  it('before it has the quote: nothing starts, and all goes on when it is back', async () => {
    const { d } = node
    proxy.rules = {
      beforeCommand: async ({ code }): Promise<ProxyAction> => {
        if (code === TPM_CC.Quote) await d.verifier.stop('SIGKILL')
        return 'pass'
      },
    }
    await expectRefusal(node, ['AGENT_FAILED', 'UPLINK_'])
    proxy.rules = {}
    await comesBack()
  })

  it('after it has decided and committed, before it answers: the ticket that nobody got is dead', async () => {
    const { d } = node
    await d.verifier.stop()
    dying = Service.start('dying verifier', join(d.directory, 'dying.log'), process.execPath, [
      ...['--import', 'tsx', `${PROJECT_ROOT}test/support/dying-verifier.ts`, d.verifierConfig],
    ])
    await d.agent.stop()
    await d.startAgent()
    await d.waitForUplink('connected')
    await expectRefusal(node, ['AGENT_FAILED', 'UPLINK_CLOSED'])
    assert.equal(await dying.ended(), 'SIGKILL')
    await comesBack()
    const { decisions } = await seenByVerifier(d)
    assert.equal(decisions.filter((x) => x.outcome === 'allowed').length, 3, 'also the one that nobody was told of')
  })
})
