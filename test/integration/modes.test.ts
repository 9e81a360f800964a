import assert from 'node:assert/strict'
import {
  assertInStep,
  expectRefusal,
  needsWholePath,
  startNode,
  verifierSees,
  type WholeNode,
} from '../support/whole-path.ts'

const NOTHING_PERMITTED = { '10.cedar': '@id("nobody") forbid (principal, action, resource);' }

describe('modes that do not enforce', () => {
  let node: WholeNode

  before(async function () {
    needsWholePath(this)
    node = await startNode({ policies: NOTHING_PERMITTED })
  })
  after(async () => {
    await node?.d.stop()
  })

  async function inMode(mode: 'enforce' | 'audit' | 'off'): Promise<void> {
    await node.d.agent.stop()
    node.d.mode = mode
    await node.d.startAgent()
    if (mode !== 'off') await node.d.waitForUplink('connected')
  }

  /** The pod runs, the user is told so, and list, log and register say so. */
  async function startsInMode(mode: 'audit' | 'off'): Promise<void> {
    const { d } = node
    const ran = await d.launch(node.image, '--', 'sh', '-c', 'echo runs; exit 4')
    assert.equal(ran.status, 4)
    assert.equal(ran.stdout, 'runs\n')
    assert.match(ran.stderr, new RegExp(`warning: the agent does not enforce \\(mode ${mode}\\)`))
    const [pod] = JSON.parse(await d.expect('list', '--format=json', '--dir', d.dataDirectory))
    assert.equal(pod.mode, mode)
    const records = await assertInStep(d)
    const launch = records.findLast((r) => r.record === 'launch')
    assert.deepEqual(
      { uuid: launch?.uuid, mode: launch?.mode, ticket: launch?.ticket },
      { uuid: pod.uuid, mode, ticket: undefined },
    )
    assert.match(await d.expect('log', '--socket', d.agentSocket), new RegExp(`agent +.*mode=${mode}`))
  }

  it('enforce, for comparison, starts nothing that policy denies', async () => {
    await expectRefusal(node, ['LAUNCH_DENIED', 'nobody'])
  })

  it('audit starts it, measured, and the verifier says so', async () => {
    await inMode('audit')
    await startsInMode('audit')
    const seen = await verifierSees(node.d, 'the mode', (n) => n.tier === 'warning')
    const rules = seen.verdicts[0]?.findings.map((f) => f.rule) ?? []
    assert.ok(rules.includes('launch-log.mode'), rules.join())
  })

  it('audit starts it also without a verifier, and the log shows it afterwards', async () => {
    await node.d.verifier.stop()
    await startsInMode('audit')
    await node.d.startVerifier()
  })

  it('off starts it without asking, measured all the same', async () => {
    await inMode('off')
    assert.equal((await node.d.status()).uplink.state, 'unused')
    await startsInMode('off')
  })

  it('the verifier sees what was launched unasked as soon as it is asked again', async () => {
    await inMode('enforce')
    const records = await assertInStep(node.d)
    assert.deepEqual(
      records.flatMap((r) => (r.record === 'agent' ? [r.mode] : [])),
      ['enforce', 'audit', 'off', 'enforce'],
    )
    const seen = await verifierSees(node.d, 'a verdict', (n) => n.tier !== 'none')
    assert.equal(seen.tier, 'warning', JSON.stringify(seen.verdicts[0]))
    await expectRefusal(node, ['LAUNCH_DENIED', 'nobody'])
  })
})
