import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HOLDFAST, Service } from '../../support/holdfast.ts'
import { type Swtpm, startSwtpm } from '../../support/swtpm.ts'
import {
  assertUsable,
  expectRefusal,
  launchTelltale,
  needsWholePath,
  startNode,
  verifierSees,
  type WholeNode,
} from '../../support/whole-path.ts'

describe('a copy of the state of a virtual TPM', () => {
  let node: WholeNode
  let clone: Swtpm | undefined
  let cloneAgent: Service | undefined

  before(async function () {
    needsWholePath(this)
    node = await startNode()
    await assertUsable(node)
  })
  afterEach(async () => {
    await cloneAgent?.stop()
    await clone?.stop()
    cloneAgent = undefined
    clone = undefined
  })
  after(async () => {
    await node?.d.stop()
  })

  /** The original is switched off, its state copied, and the copy started once. */
  async function copyTpm(): Promise<void> {
    const { d } = node
    await d.agent.stop()
    await d.tpm.kill()
    clone = await startSwtpm({ directory: d.tpm.directory, caCertificates: [], remove: async () => {} })
  }

  /** An agent on the copy that goes to the same verifier. @returns its socket */
  function startCloneAgent(): string {
    const { d } = node
    const directory = mkdtempSync(join(d.directory, 'clone-'))
    const config = join(directory, 'agent.yaml')
    const text = readFileSync(d.agentConfig, 'utf8')
    writeFileSync(
      config,
      text
        .replace(/^tcti: .*$/m, `tcti: "${clone?.tcti}"`)
        .replace(/^dataDirectory: .*$/m, `dataDirectory: ${directory}`)
        .replace(/^runDirectory: .*$/m, `runDirectory: ${directory}/run`),
    )
    const log = join(directory, 'log')
    cloneAgent = Service.start('agent of the clone', log, process.execPath, [HOLDFAST, 'agent', '--config', config])
    return join(directory, 'run/agent.sock')
  }

  async function reboot(): Promise<void> {
    const { d } = node
    await d.tpm.powerOn()
    await d.measureFirmware()
    await d.startAgent()
    await d.waitForUplink('connected')
  }

  /** The node is in quarantine; once the copy is gone and an operator has released it, it works as before. */
  async function endsInQuarantine(rule: RegExp): Promise<void> {
    const { d } = node
    const seen = await verifierSees(d, 'the copy', (n) => n.quarantine !== null)
    assert.match(seen.quarantine ?? '', rule)
    assert.match(await d.expect('nodes', 'list', '--config', d.verifierConfig), / quarantined /)
    await cloneAgent?.stop()
    await clone?.stop()
    // a new connection changes nothing: quarantine is ended by an operator alone
    await d.agent.stop()
    await d.startAgent()
    await d.waitForUplink('connected')
    await expectRefusal(node, ['LAUNCH_DENIED', 'NODE_CONTRAINDICATED'])

    await d.expect('nodes', 'release', seen.nodeId, '--config', d.verifierConfig)
    await d.agent.stop()
    await d.startAgent()
    await d.waitForUplink('connected')
    await assertUsable(node)
    const after = await verifierSees(d, 'a node in order', (n) => n.tier === 'affirming')
    assert.equal(after.quarantine, null)
  }

  it('that is behind the original is noticed as a rollback, and the node quarantined until an operator releases it', async () => {
    await copyTpm()
    await reboot()
    await node.d.agent.stop()
    await node.d.tpm.kill()
    await reboot() // one start further than the copy
    await assertUsable(node)
    startCloneAgent()
    await endsInQuarantine(/continuity/)
  })

  it('that is in the same start as the original has another log: the verdict says so, and nothing starts on it', async () => {
    const { d } = node
    await copyTpm()
    await reboot()
    await assertUsable(node)
    startCloneAgent()
    const seen = await verifierSees(d, 'the fork', (n) => n.tier === 'contraindicated')
    const rules = seen.verdicts[0]?.findings.map((f) => f.rule) ?? []
    assert.ok(
      rules.some((rule) => rule.startsWith('launch-log.')),
      rules.join(),
    )
    // one connection is one node's: with the original silent, the copy has it to itself
    await cloneAgent?.stop()
    await d.agent.stop()
    const socket = startCloneAgent()
    const copy = cloneAgent
    await copy?.waitUntil('its login', async () =>
      readFileSync(copy.logFile, 'utf8').includes('node proved') ? true : undefined,
    )
    await expectRefusal(node, ['LAUNCH_DENIED', 'NODE_CONTRAINDICATED'], () => launchTelltale(node, '--agent', socket))
    await cloneAgent?.stop()
    await d.startAgent()
    await d.waitForUplink('connected')
    await assertUsable(node)
    const after = await verifierSees(d, 'the original in order', (n) => n.tier === 'affirming')
    assert.ok(
      after.verdicts.some((v) => v.findings.some((f) => rules.includes(f.rule))),
      'the fork stays on record',
    )
  })
})
