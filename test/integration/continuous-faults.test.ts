import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MachineNode } from '../support/machine-node.ts'
import { tempDir } from '../support/temp-dir.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'
import { assertUsable, needsWholePath } from '../support/whole-path.ts'

const SECRET = 'the secret of every receiver'
const POLICY = `version: 1
name: workers
owner: platform team
attestation: {intervalSeconds: 1, jitterPercent: 0}
podsOnFailure: stop
evidence: {logs: [firmware]}
unlisted: observe
rules:
  boot: {mode: enforce, require: [boot.log, boot.replay, boot.separator]}
`

describe('a node that is judged for as long as it runs, while processes and keys are lost', () => {
  let machine: MachineNode
  const receivers: WebhookReceiver[] = []
  const dir = tempDir()

  before(async function () {
    needsWholePath(this)
    const secretFile = join(dir.path, 'secret')
    writeFileSync(secretFile, SECRET)
    for (const answer of [204, 500, 302, 'hang'] as const) {
      const receiver = await WebhookReceiver.start()
      receiver.answer = answer
      receivers.push(receiver)
    }
    const list = receivers.map(({ url }) => `  - {url: "${url}", secretFile: ${secretFile}}\n`)
    machine = await MachineNode.start(
      { 'workers.yaml': POLICY },
      { verifierSettings: `attestation: {periodSeconds: 1, silentAfterSeconds: 60}\nwebhooks:\n${list.join('')}` },
    )
    await machine.stands('trusted')
  })
  after(async () => {
    await machine?.stop()
    for (const receiver of receivers) await receiver.stop()
    dir.remove()
  })

  /** Another setting, for which the verifier is started again. */
  async function setVerifier(setting: string, other: string): Promise<void> {
    const { d } = machine
    writeFileSync(d.verifierConfig, readFileSync(d.verifierConfig, 'utf8').replace(setting, other))
    await d.verifier.stop()
    await d.startVerifier()
    await d.waitForUplink('connected')
  }

  it('is never called failed or stale for processes that end and come back', async () => {
    const { d } = machine
    const events = machine.events().length
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await d.agent.stop(signal)
      await d.startAgent()
      await d.waitForUplink('connected')
      await d.verifier.stop(signal)
      await d.startVerifier()
      await d.waitForUplink('connected')
    }
    await d.verifier.stop('SIGKILL')
    await d.agent.stop('SIGKILL')
    await d.startVerifier()
    await d.startAgent()
    await d.waitForUplink('connected')
    await machine.rounds(1)
    assert.deepEqual(machine.events().slice(events), [])
    await assertUsable(machine.node)
  })

  it('goes on after TPM2_Clear without a reboot in the same way, when no pod runs', async () => {
    const { d } = machine
    const before = machine.seen()
    const events = machine.events().length
    await d.agent.waitUntil('the ends of all pods', async () =>
      (await d.status()).launches.running === 0 ? true : undefined,
    )
    await machine.rounds(2) // nothing is in the log that the verifier has not seen
    await d.tpm.tool('tpm2_clear', '-c', 'p')
    assert.equal(await d.agent.ended(), 1)
    await d.startAgent()
    const after = await machine.stands('trusted', () => machine.events().length === events + 2)
    assert.deepEqual(machine.events().slice(events), ['trusted warning', 'warning trusted'])
    assert.notEqual(after.akName, before.akName)
    await assertUsable(machine.node)
  })

  it('goes on after TPM2_Clear and a reboot with a warning, and is trusted then', async () => {
    const { d } = machine
    const before = machine.seen()
    const events = machine.events().length
    await d.tpm.tool('tpm2_clear', '-c', 'p')
    assert.equal(await d.agent.ended(), 1, 'the agent has to be started with the new key')
    assert.match(d.agent.logTail(), /AGENT_KEY_LOST/)
    await machine.reboot()
    const after = await machine.stands('trusted', () => machine.events().length === events + 2)
    assert.deepEqual(machine.events().slice(events), ['trusted warning', 'warning trusted'])
    assert.notEqual(after.akName, before.akName)
    assert.equal(after.admission, 'admitted')
    await assertUsable(machine.node)
  })

  it('is stale when it has been silent, and trusted again when it speaks', async () => {
    const { d } = machine
    await setVerifier('silentAfterSeconds: 60', 'silentAfterSeconds: 3')
    process.kill(d.agent.pid, 'SIGSTOP')
    try {
      const stale = await machine.stands('stale')
      assert.equal(stale.standingReasons[0]?.rule, 'node.silent')
      assert.match(stale.standingReasons[0]?.message ?? '', /no evidence for 3 s/)
      assert.ok(Date.parse(stale.standingSince) > Date.parse(stale.updatedAt) - 1000)
    } finally {
      process.kill(d.agent.pid, 'SIGCONT')
    }
    await machine.stands('trusted')
    assert.deepEqual(machine.events().slice(-2), ['trusted stale', 'stale trusted'])
    await assertUsable(machine.node)
  })

  it('is stale also when it was silent while the verifier was away', async () => {
    const { d } = machine
    await d.agent.stop()
    await d.verifier.stop()
    await d.startVerifier()
    await machine.stands('stale')
    await d.startAgent()
    await machine.stands('trusted')
  })

  it('is told of to every receiver that listens, whatever the others do', async () => {
    const [good, failing, elsewhere, hanging] = receivers
    const events = machine.events()
    await machine.d.verifier.waitUntil('all webhooks', async () => {
      const said = new Set(good?.said(SECRET).map((m) => `${m.data.from} ${m.data.to}`))
      return events.every((e) => said.has(e)) ? true : undefined
    })
    for (const receiver of [failing, elsewhere, hanging]) {
      assert.ok((receiver?.posts.length ?? 0) > 0)
      assert.equal(new Set(receiver?.posts.map((p) => p.headers['webhook-id'])).size, 1, 'an event was passed over')
    }
    if (failing === undefined) return
    failing.answer = 204
    await machine.d.verifier.stop()
    await machine.d.startVerifier()
    await machine.d.verifier.waitUntil('what was missed', async () => {
      const said = failing.said(SECRET).map((m) => `${m.data.from} ${m.data.to}`)
      return events.every((e) => said.includes(e)) ? true : undefined
    })
  })

  it('waits for an operator after TPM2_Clear where it is told to, saying what helps', async () => {
    const { d } = machine
    const { nodeId } = machine.seen()
    await setVerifier('enrolment:\n', 'enrolment:\n  akReplacement: operator\n')
    await d.agent.stop()
    await d.tpm.tool('tpm2_clear', '-c', 'p')
    await machine.reboot()
    const { uplink } = await d.agent.waitUntil('a refusal', async () => {
      const status = await d.status()
      return status.uplink.state === 'unreachable' ? status : undefined
    })
    assert.match(JSON.stringify(uplink), new RegExp(`AK_NOT_BOUND.*holdfast nodes rebind ${nodeId.slice(0, 12)}`))
    await d.expect('nodes', 'rebind', nodeId, '--config', d.verifierConfig)
    await machine.stands('trusted')
    await assertUsable(machine.node)
  })
})
