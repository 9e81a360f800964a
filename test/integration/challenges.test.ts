import assert from 'node:assert/strict'
import { type ProxyAction, TPM_CC, TpmProxy } from '../support/tpm-proxy.ts'
import {
  assertUsable,
  needsWholePath,
  quiet,
  seenByVerifier,
  startNode,
  type WholeNode,
} from '../support/whole-path.ts'

describe('periodic challenges of the verifier', () => {
  let node: WholeNode
  let proxy: TpmProxy

  before(async function () {
    needsWholePath(this)
    node = await startNode({ verifierSettings: 'attestation:\n  periodSeconds: 1\n' })
    const { d } = node
    await d.agent.stop()
    proxy = await TpmProxy.start(d.tpm.port)
    d.agentTcti = proxy.tcti
    await d.startAgent()
    await d.waitForUplink('connected')
  })
  after(async () => {
    await proxy?.stop()
    await node?.d.stop()
  })

  /** A result of the verifier that is younger than this call. */
  async function nextResult(): Promise<void> {
    const { d } = node
    const since = new Date().toISOString()
    await d.agent.waitUntil('a new result', async () => {
      const at = (await d.status()).lastResult?.at
      return at !== undefined && at > since ? true : undefined
    })
  }

  it('that come while a launch is under way are answered after it, from where the log is by then', async () => {
    const { d } = node
    await assertUsable(node)
    await quiet(d)
    let held = false
    proxy.rules = {
      beforeCommand: async ({ code }): Promise<ProxyAction> => {
        if (code !== TPM_CC.Quote || held) return 'pass'
        held = true
        await new Promise((resolve) => setTimeout(resolve, 1500)) // longer than the period: a challenge comes meanwhile
        return 'pass'
      },
    }
    assert.equal((await d.launch(node.image, '--', 'true')).status, 0)
    assert.ok(held)
    await nextResult()
    await nextResult()
    await assertUsable(node)
    const { tier, verdicts } = await seenByVerifier(d)
    assert.equal(tier, 'affirming')
    assert.deepEqual(
      verdicts.filter((v) => v.tier !== 'affirming'),
      [],
    )
  })
})
