import assert from 'node:assert/strict'
import { after, before, describe, it } from 'mocha'
import type { Agent } from '../../agent/agent.ts'
import { swtpmMissing } from '../support/swtpm.ts'
import { localCall } from './support/local-call.ts'
import { makePod } from './support/pod.ts'
import { eventually, makeRealNode, type RealNode } from './support/real-node.ts'

describe('a node agent with a TPM simulator and a verifier', () => {
  let node: RealNode
  let agent: Agent

  before(async function () {
    const missing = swtpmMissing()
    if (missing !== undefined) {
      console.log(`      skipped: ${missing}`)
      this.skip()
    }
    node = await makeRealNode()
    await node.swtpm.tool('tpm2_pcrextend', '0:sha256=' + '11'.repeat(32))
    agent = await node.start()
  })
  after(async () => {
    await node?.stop()
  })

  it('enrols, proves itself and says so', async () => {
    await eventually(() => agent.status().uplink.state === 'connected')
    const { body } = await localCall(node.socketPath, 'GET', '/v1/status')
    console.log(JSON.stringify(body, undefined, 1))
  })

  it('launches', async () => {
    for (let i = 0; i < 10; i++) {
      const pod = makePod(node.dataDirectory)
      const t = performance.now()
      const answer = await localCall(node.socketPath, 'POST', '/v1/launches', pod.body)
      console.log(performance.now() - t, answer.status, i === 0 ? answer.body : '')
      pod.exit('a', 3)
      pod.unlock()
      await eventually(() => agent.status().launches.running === 0)
    }
    setTimeout(() => console.log(process.getActiveResourcesInfo()), 4000).unref()
  })
})
