import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AgentStatus } from '../../agent/local-api/index.ts'
import { decodeCelRecord } from '../../attestation/event-log/index.ts'
import {
  assertInStep,
  assertRefused,
  assertUsable,
  expectRefusal,
  needsWholePath,
  seenByVerifier,
  startNode,
  verifierSees,
  type WholeNode,
} from '../support/whole-path.ts'

describe('a node whose TPM starts anew', () => {
  let node: WholeNode

  before(async function () {
    needsWholePath(this)
    node = await startNode()
    await assertUsable(node)
  })
  after(async () => {
    await node?.d.stop()
  })

  const logFiles = (): string[] =>
    readdirSync(join(node.d.dataDirectory, 'agent/launch-log'))
      .filter((name) => name.endsWith('.cel'))
      .sort()
  const logFile = ({ log }: AgentStatus): string => `${log.resetCount}-${log.restartCount}.cel`

  /** The node is rebooted like this; it keeps its admission and its key, and begins a log of its own. */
  async function survives(reboot: () => Promise<void>): Promise<void> {
    const { d } = node
    const before = await d.status()
    const kept = readFileSync(join(d.dataDirectory, 'agent/launch-log', logFile(before)))
    await d.agent.stop()
    await reboot()
    await d.measureFirmware()
    await d.startAgent()
    const after = await d.waitForUplink('connected')
    assert.equal(after.akName, before.akName)
    assert.equal(after.log.resetCount > before.log.resetCount, true)
    assert.notEqual(logFile(after), logFile(before))
    assert.deepEqual(
      readFileSync(join(d.dataDirectory, 'agent/launch-log', logFile(before))),
      kept,
      'the old log is kept',
    )
    await assertUsable(node)
    const records = await assertInStep(d)
    assert.deepEqual(
      records.filter((r) => r.record !== 'exited').map((r) => r.record),
      ['agent', 'stage1', 'image', 'pod', 'launch'],
      'stage1 and image are measured again in this boot',
    )
    const seen = await verifierSees(d, 'a node in order', (n) => n.tier === 'affirming')
    assert.equal(seen.quarantine, null)
    assert.equal(seen.admission, 'admitted')
  }

  it('launches again after an orderly reboot, with a new log', async () => {
    await survives(() => node.d.tpm.reboot())
  })

  it('launches again after a power cut, with a new log', async () => {
    await survives(() => node.d.tpm.powerCycle())
  })

  it('notices a restart of the TPM under a running agent before the next launch: nothing starts on the old log', async () => {
    const { d } = node
    const before = await d.status()
    const files = logFiles()
    // a kernel lets nobody quote after TPM2_Shutdown: a clock that was shown then and not kept would be a rollback
    process.kill(d.agent.pid, 'SIGSTOP')
    await d.tpm.tool('tpm2_shutdown') // TPM2_Shutdown(STATE)
    await d.tpm.powerCycle() // TPM2_Startup(CLEAR): registers at zero, resetCount as before
    await d.measureFirmware()
    process.kill(d.agent.pid, 'SIGCONT')
    const first = await d.launch(node.image, '--', 'echo', 'first')
    if (first.status === 0) assert.equal(first.stdout, 'first\n')
    else assertRefused(first, 'AGENT_FAILED')
    await d.waitForUplink('connected')
    await assertUsable(node)
    const after = await d.status()
    assert.equal(after.log.resetCount, before.log.resetCount)
    assert.equal(after.log.restartCount, before.log.restartCount + 1)
    assert.deepEqual(logFiles(), [...files, logFile(after)].sort())
    const seen = await seenByVerifier(d)
    assert.equal(seen.quarantine, null)
  })

  it('does not let a reset pass with a replay of the old log: the verifier asks for the log of this boot', async () => {
    const { d } = node
    const { log } = await d.status()
    const old = readFileSync(join(d.dataDirectory, 'agent/launch-log', `${log.resetCount}-${log.restartCount}.cel`))
    await d.agent.stop()
    await d.tpm.powerCycle()
    await d.measureFirmware()
    // the attacker extends the same digests again and names the old log as the one of this boot
    for (let at = 0; at < old.length; ) {
      const { record, end } = decodeCelRecord(new Uint8Array(old), at)
      const digests = record.digests.map(({ bytes }) => Buffer.from(bytes).toString('hex'))
      await d.tpm.tool('tpm2_pcrextend', `15:sha256=${digests[0]}`)
      at = end
    }
    const clock = await d.tpm.tool('tpm2_readclock')
    const count = (name: string): string => new RegExp(`${name}: (\\d+)`).exec(clock)?.[1] ?? ''
    const replayed = `${count('reset_count')}-${count('restart_count')}.cel`
    writeFileSync(join(d.dataDirectory, 'agent/launch-log', replayed), old)
    await d.startAgent()
    const { uplink } = await d.agent.waitUntil('an end of the login', async () => {
      const status = await d.status()
      return status.uplink.state !== 'enrolling' ? status : undefined
    })
    if (uplink.state === 'connected') {
      const seen = await verifierSees(d, 'a verdict', (n) => n.tier !== 'none')
      assert.equal(seen.tier, 'contraindicated', JSON.stringify(seen.verdicts[0]))
    }
    await expectRefusal(node, ['NODE_CONTRAINDICATED'])
  })
})
