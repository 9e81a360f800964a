import assert from 'node:assert/strict'
import { TPM_CC, TpmProxy } from '../support/tpm-proxy.ts'
import {
  assertInStep,
  assertRefused,
  assertUsable,
  launchTelltale,
  needsWholePath,
  quiet,
  seenByVerifier,
  startedPods,
  startNode,
  verifierSees,
  type WholeNode,
} from '../support/whole-path.ts'

/** Extends of the first launch in a boot: stage1, image, pod, launch. */
const EXTENDS = ['stage1', 'image', 'pod', 'launch'] as const

describe('kill -9 of the agent around each extend of a launch', () => {
  let node: WholeNode
  let proxy: TpmProxy

  before(async function () {
    needsWholePath(this)
    node = await startNode()
    proxy = await TpmProxy.start(node.d.tpm.port)
    node.d.agentTcti = proxy.tcti
  })
  after(async () => {
    await proxy?.stop()
    await node?.d.stop()
  })

  /** A new boot after an orderly end (a power cut can put the TPM's clock back, which is a warning), so that stage1 and image are measured again. */
  async function reboot(): Promise<void> {
    const { d } = node
    proxy.rules = {}
    await d.agent.stop()
    await d.tpm.reboot()
    await d.measureFirmware()
    await d.startAgent()
    await d.waitForUplink('connected')
  }

  /**
   * Lets the launch come to its n-th extend and kills the agent there. @returns how many records the log has gained on
   * disk
   */
  async function killAt(n: number, when: 'before' | 'after'): Promise<void> {
    const { d } = node
    let extend = 0
    const reached = new Promise<void>((resolve) => {
      const stall = ({ code }: { readonly code: number }) => {
        if (code !== TPM_CC.PCR_Extend || ++extend < n) return 'pass' as const
        resolve()
        return 'stall' as const
      }
      proxy.rules = when === 'before' ? { beforeCommand: stall } : { afterResponse: stall }
    })
    const started = startedPods(d)
    const launch = launchTelltale(node)
    await reached
    await d.agent.stop('SIGKILL')
    assertRefused(await launch, 'AGENT_')
    assert.deepEqual(startedPods(d), started, 'a pod was started')
    proxy.rules = {}
  }

  for (const [i, record] of EXTENDS.entries()) {
    for (const when of ['before', 'after'] as const) {
      it(`${when} the ${record} record is extended: log and register agree, and the next launch works`, async () => {
        const { d } = node
        await reboot()
        await killAt(i + 1, when)
        await d.startAgent()
        await d.waitForUplink('connected')
        const records = await assertInStep(d)
        const pod = records.find((r) => r.record === 'pod')
        assert.ok(pod?.record === 'pod', 'nothing that was written is lost')
        const fate = records.flatMap((r) => ('uuid' in r && r.uuid === pod.uuid ? [r.record] : []))
        assert.deepEqual(fate, record === 'launch' ? ['pod', 'launch', 'exited'] : ['pod', 'denied'])
        await assertUsable(node)
        const seen = await verifierSees(d, 'a node in order', (n) => n.tier === 'affirming')
        assert.equal(seen.quarantine, null)
      })
    }
  }

  it('never made the verifier doubt the node', async () => {
    const { verdicts } = await seenByVerifier(node.d)
    assert.deepEqual([...new Set(verdicts.map((v) => v.tier))], ['affirming'])
  })

  it('twice in a row, the second time while the first is made up for', async () => {
    const { d } = node
    await reboot()
    await killAt(2, 'after')
    let extends_ = 0
    const reached = new Promise<void>((resolve) => {
      proxy.rules = {
        afterResponse: ({ code }) => {
          if (code !== TPM_CC.PCR_Extend || ++extends_ < 1) return 'pass'
          resolve()
          return 'stall'
        },
      }
    })
    const starting = d.startAgent()
    await reached
    await d.agent.stop('SIGKILL')
    await assert.rejects(starting, /ended with SIGKILL/)
    proxy.rules = {}
    await d.startAgent()
    await d.waitForUplink('connected')
    await quiet(d)
    await assertUsable(node)
  })
})
