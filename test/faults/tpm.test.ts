import assert from 'node:assert/strict'
import { TPM_CC, TpmProxy } from '../support/tpm-proxy.ts'
import {
  assertInStep,
  assertUsable,
  expectRefusal,
  needsWholePath,
  startNode,
  verifierSees,
  type WholeNode,
} from '../support/whole-path.ts'

describe('a TPM that fails', () => {
  let node: WholeNode
  let proxy: TpmProxy

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
  after(async () => {
    node?.d.tpm.thaw()
    await proxy?.stop()
    await node?.d.stop()
  })
  afterEach(async () => {
    if (node === undefined) return
    proxy.rules = {}
    await node.d.waitForUplink('connected')
    await assertUsable(node)
    await verifierSees(node.d, 'a node in order', (n) => n.tier === 'affirming')
  })

  it('hangs: the launch is refused within the deadline, and works again once the TPM does', async () => {
    const { d } = node
    d.tpm.freeze()
    try {
      await expectRefusal(node, ['AGENT_FAILED', 'TPM_TIMEOUT', 'Check the TPM'])
    } finally {
      d.tpm.thaw()
    }
  })

  it('is gone and comes back as it was: nothing started in between', async () => {
    const { d } = node
    proxy.rules = { beforeCommand: () => 'drop' }
    await expectRefusal(node, ['AGENT_FAILED', 'TPM_GONE'])
    proxy.rules = {}
    await d.waitForUplink('connected')
    await assertInStep(d)
  })

  it('is gone and comes back reset: the next launch is in a log of its own', async () => {
    const { d } = node
    const before = await d.status()
    await d.tpm.kill()
    await expectRefusal(node, ['AGENT_FAILED', 'TPM_'])
    await d.tpm.powerOn()
    await d.measureFirmware()
    await d.agent.waitUntil('the log of the new start', async () => {
      const { log } = await d.status()
      return log.resetCount > before.log.resetCount && log.settled ? true : undefined
    })
  })

  for (const [what, answer] of [
    ['nonsense', Uint8Array.from({ length: 64 }, (_, i) => (i < 2 ? 0x80 : i === 5 ? 64 : 0xa5))],
    ['TPM_RC_FAILURE', Uint8Array.of(0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x01)],
    ['half a response', Uint8Array.of(0x80, 0x02, 0, 0, 0, 20, 0, 0, 0, 0)],
  ] as const) {
    it(`answers a quote with ${what}: a code, and nothing started`, async () => {
      proxy.rules = { afterResponse: ({ code }) => (code === TPM_CC.Quote ? { instead: answer } : 'pass') }
      const ran = await expectRefusal(node, ['AGENT_FAILED'])
      assert.match(ran.stderr, /\((TPM_[A-Z_]+|UPLINK_[A-Z]+), 503\)/)
    })
  }
})
