import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import type { Deployment } from '../support/deployment.ts'
import {
  assertUsable,
  expectRefusal,
  madeTpm,
  needsWholePath,
  prepareNode,
  seenByVerifier,
  startNode,
  type WholeNode,
} from '../support/whole-path.ts'

describe('enrolment, from an unknown machine to its first launch', () => {
  let node: WholeNode | undefined

  before(function () {
    needsWholePath(this)
  })
  afterEach(async () => {
    await node?.d.stop()
    node = undefined
  })

  it('admits a node by its one-time token, with the labels of the token', async () => {
    node = await startNode()
    await assertUsable(node)
    const seen = await seenByVerifier(node.d)
    assert.equal(seen.admission, 'admitted')
    assert.equal(seen.admittedBy, 'token')
    assert.deepEqual(seen.labels, { zone: 'demo' })
    const table = await node.d.expect('nodes', 'list', '--config', node.d.verifierConfig)
    assert.match(table, new RegExp(`^${seen.nodeId.slice(0, 12)} +\\S+ +admitted +trusted +\\S+Z +zone=demo `, 'm'))
  })

  it('keeps a node waiting until an operator admits it', async () => {
    node = await prepareNode({ admission: 'manual' })
    const { d } = node
    await d.startVerifier()
    await d.startAgent()
    const { nodeId } = await d.waitForUplink('pending')
    const ran = await expectRefusal(node, ['AGENT_FAILED', 'UPLINK_PENDING', 'has not admitted this node'])
    assert.match(ran.stderr, new RegExp(`holdfast nodes admit ${nodeId.slice(0, 12)}`))
    assert.equal((await seenByVerifier(d)).admission, 'pending')

    assert.equal(await d.expect('nodes', 'admit', nodeId.slice(0, 12), '--config', d.verifierConfig), nodeId)
    await d.waitForUplink('connected')
    await assertUsable(node)
    assert.equal((await seenByVerifier(d)).admittedBy, 'operator')

    await d.expect('nodes', 'refuse', nodeId, '--config', d.verifierConfig)
    await d.waitForUplink('unreachable')
    await expectRefusal(node, ['AGENT_FAILED', 'NODE_REFUSED'])
  })

  it('takes a TPM without EK certificate only where its EK is listed', async () => {
    node = await prepareNode({ admission: 'manual', tpm: { ekCertificates: 'none' } })
    const { d } = node
    await d.startVerifier()
    await d.startAgent()
    const { nodeId } = await d.waitForUplink('unreachable')
    await expectRefusal(node, ['AGENT_FAILED', 'EK_NOT_TRUSTED', `list node ${nodeId}`])

    const config = readFileSync(d.verifierConfig, 'utf8')
    writeFileSync(d.verifierConfig, config.replace('admission: manual\n', `admission: listed\n  listed: [${nodeId}]\n`))
    await restartBoth(d)
    await assertUsable(node)
    assert.equal((await seenByVerifier(d)).admittedBy, 'listed')
  })

  it('does not believe a TPM whose maker is unknown, names the missing CA, and does once it is imported', async () => {
    node = await prepareNode({ withoutRoots: true })
    const { d } = node
    await d.startVerifier()
    const token = await d.expect('tokens', 'create', '--config', d.verifierConfig)
    writeFileSync(`${d.directory}/enrolment-token`, token)
    await d.startAgent()
    await d.waitForUplink('unreachable')
    await expectRefusal(node, ['AGENT_FAILED', 'EK_NOT_TRUSTED', 'swtpm-localca', 'holdfast roots import'])

    const { caCertificates } = await madeTpm()
    await d.expect('roots', 'import', '--config', d.verifierConfig, ...caCertificates)
    process.kill(d.verifier.pid, 'SIGHUP')
    await d.agent.stop()
    await d.startAgent()
    await d.waitForUplink('connected')
    await assertUsable(node)
  })
})

async function restartBoth(d: Deployment): Promise<void> {
  await d.agent.stop()
  await d.verifier.stop()
  await d.startVerifier()
  await d.startAgent()
  await d.waitForUplink('connected')
}
