import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { honestBoot } from '../support/boot.ts'
import { cryptoAgileLog } from '../support/firmware-log.ts'
import { type LongPod, MachineNode } from '../support/machine-node.ts'
import { tempDir } from '../support/temp-dir.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'
import { assertUsable, expectRefusal, needsWholePath, quiet, readLog } from '../support/whole-path.ts'

const SECRET = 'the secret of this receiver'

interface PolicyText {
  readonly name?: string
  readonly nodes?: string
  readonly podsOnFailure?: 'stop' | 'leave'
  readonly secureBoot?: boolean
  readonly intervalSeconds?: number
}

function policy(p: PolicyText = {}): string {
  const { name = 'workers', nodes, podsOnFailure = 'stop', secureBoot = true, intervalSeconds = 1 } = p
  return `version: 1
name: ${name}
owner: platform team
${nodes === undefined ? '' : `nodes: ${nodes}\npriority: 10\n`}attestation: {intervalSeconds: ${intervalSeconds}, jitterPercent: 0}
podsOnFailure: ${podsOnFailure}
evidence: {logs: [firmware]}
unlisted: observe
rules:
  boot: {mode: enforce, require: [boot.log, boot.replay, boot.separator]}
  secure-boot: {mode: enforce, secureBoot: {enabled: ${secureBoot}}}
`
}

describe('a node that is judged by its boot for as long as it runs', () => {
  let machine: MachineNode
  let receiver: WebhookReceiver
  const dir = tempDir()

  before(async function () {
    needsWholePath(this)
    receiver = await WebhookReceiver.start()
    const secretFile = join(dir.path, 'secret')
    writeFileSync(secretFile, `${SECRET}\n`)
    machine = await MachineNode.start(
      { 'workers.yaml': policy() },
      { verifierSettings: `webhooks: [{url: "${receiver.url}", secretFile: ${secretFile}}]\n` },
    )
  })
  after(async () => {
    await machine?.stop()
    await receiver?.stop()
    dir.remove()
  })

  const operator = (...args: readonly string[]): Promise<string> =>
    machine.d.expect('nodes', ...args, '--config', machine.d.verifierConfig)
  const extendLater = (pcr: number): Promise<string> =>
    machine.d.tpm.tool('tpm2_pcrextend', `${pcr}:sha256=${'a5'.repeat(32)}`)
  const told = (from: string, to: string) =>
    machine.d.verifier.waitUntil(`a webhook of ${from} to ${to}`, async () =>
      receiver.said(SECRET).find((m) => m.data.from === from && m.data.to === to),
    )

  /** The pod was ended and nothing of it is left. @returns how the launch log says that it ended */
  async function assertStopped({ uuid, ended, processes }: LongPod): Promise<string> {
    assert.notEqual((await ended).status, 0)
    assert.deepEqual(processes(), [])
    const exited = readLog(machine.d, await quiet(machine.d)).filter((r) => r.record === 'exited' && r.uuid === uuid)
    assert.equal(exited.length, 1, 'one end in the launch log')
    return JSON.stringify(exited[0])
  }

  it('becomes trusted, may launch, and sends its firmware log once', async () => {
    const seen = await machine.stands('trusted')
    assert.deepEqual(seen.standingReasons, [])
    await assertUsable(machine.node)
    await machine.rounds(1)
    const size = cryptoAgileLog(honestBoot()).length
    const from = machine.relay.sent
    await machine.rounds(2)
    const each = (machine.relay.sent - from) / 2
    assert.ok(each < size, `${each} bytes a round, the log has ${size}`)
  })

  it('makes the verifier keep nothing more for a round in which nothing is new', async () => {
    const kept = () =>
      machine.query<{ n: number }>('select count(*) + (select count(*) from verdicts) as n from evidence')
    const before = kept()
    await machine.rounds(2)
    assert.deepEqual(kept(), before)
  })

  it('fails when a register of its boot is extended: no tickets, its pods end, and everybody is told why', async () => {
    const pod = await machine.longPod()
    await extendLater(4)
    const failed = await machine.stands('failed')
    assert.equal(failed.standingReasons[0]?.rule, 'boot.replay')
    assert.match(failed.standingReasons[0]?.message ?? '', /PCR 4/)
    await expectRefusal(machine.node, ['NODE_CONTRAINDICATED', 'boot.replay: PCR 4'])
    assert.match(await assertStopped(pod), /"exited"/)
    const message = await told('trusted', 'failed')
    assert.equal(message.data.node, failed.nodeId)
    assert.equal(message.data.reasons[0]?.rule, 'boot.replay')

    const [head = '', row = ''] = (await operator('list')).split('\n')
    assert.match(head, /STATE +SINCE +LABELS +WHY/)
    assert.match(row, /failed +20\d\d-\S+Z +zone=demo +PCR 4/)
    const shown = await operator('show', failed.nodeId)
    const json = JSON.parse(await operator('show', failed.nodeId, '--format=json'))
    assert.deepEqual(json.standingReasons, failed.standingReasons)
    assert.deepEqual([json.standing, json.standingSince], ['failed', failed.standingSince])
    assert.match(shown, /failed since 20\d\d-/)
    assert.match(shown, /PCR 4/)
  })

  it('stays failed round after round, tells it once, and has the verifier keep its evidence once', async () => {
    const kept = () => machine.query<{ n: number }>('select count(*) as n from evidence')
    const before = kept()
    assert.deepEqual(await machine.rounds(2), new Set(['failed']))
    assert.deepEqual(kept(), before)
    assert.equal(receiver.said(SECRET).filter((m) => m.data.to === 'failed').length, 1)
  })

  it('is trusted again after a reboot, without anybody, and says so', async () => {
    await machine.reboot()
    await machine.stands('trusted')
    await told('failed', 'trusted')
    await assertUsable(machine.node)
  })

  for (const [how, bytes] of [
    ['missing', null],
    ['shorter by its last event', cryptoAgileLog(honestBoot().slice(0, -1))],
    ['of another boot', cryptoAgileLog(honestBoot({ dbxEntries: 9 }))],
  ] as const) {
    it(`fails with a log that is ${how}, and is trusted again with the right one`, async () => {
      await machine.reboot(bytes)
      const failed = await machine.stands('failed')
      assert.match(
        failed.standingReasons[0]?.rule ?? '',
        /^(boot\.(log|replay)|policy\.boot)$/,
        JSON.stringify(failed.standingReasons),
      )
      await machine.reboot()
      await machine.stands('trusted')
    })
  }

  it('needs no log again that it has proved', async () => {
    machine.writeFirmwareLog(null)
    assert.deepEqual(await machine.rounds(2), new Set(['trusted']))
    machine.writeFirmwareLog()
  })

  it('is judged anew when the policies are replaced, and its pods are left where policy says so', async () => {
    const pod = await machine.longPod()
    await machine.setAppraisal({ 'workers.yaml': policy({ podsOnFailure: 'leave', secureBoot: false }) })
    const failed = await machine.stands('failed')
    assert.equal(failed.standingReasons[0]?.rule, 'policy.secure-boot')
    await expectRefusal(machine.node, ['policy.secure-boot'])
    await machine.rounds(2)
    assert.ok(pod.processes().length > 2, 'the pod was ended')
    await machine.setAppraisal({ 'workers.yaml': policy({ podsOnFailure: 'leave' }) })
    await machine.stands('trusted')
    await machine.setAppraisal({ 'workers.yaml': policy({ secureBoot: false }) })
    await assertStopped(pod)
    await machine.setAppraisal({ 'workers.yaml': policy() })
    await machine.stands('trusted')
  })

  it('never fails for a policy that is replaced while it proves itself and launches', async () => {
    const events = machine.events().length
    const pod = await machine.longPod()
    for (let i = 0; i < 4; i++) {
      const launch = machine.d.launch(machine.node.image, '--', 'true')
      await machine.setAppraisal({ 'workers.yaml': policy({ intervalSeconds: 1 + (i % 2) }) })
      const { status, stderr } = await launch
      assert.equal(status, 0, stderr)
    }
    await machine.rounds(2)
    assert.deepEqual(machine.events().slice(events), [])
    assert.ok(pod.processes().length > 2, 'the pod was ended')
  })

  it('is judged by the policy that its labels choose', async () => {
    const gpu = policy({ name: 'gpu', nodes: '{all: {role: gpu}}', secureBoot: false, podsOnFailure: 'leave' })
    await machine.setAppraisal({ 'gpu.yaml': gpu })
    const { nodeId } = await machine.stands('trusted')
    await operator('label', nodeId, 'role=gpu')
    await machine.stands('failed')
    await operator('label', nodeId, 'role-')
    await machine.stands('trusted')
    // also while it is away
    await machine.d.agent.stop()
    await operator('label', nodeId, 'role=gpu')
    await machine.d.startAgent()
    await machine.stands('failed')
    await operator('label', nodeId, 'role-')
    await machine.stands('trusted')
  })

  it('goes on with a warning after a power cut that put the clock of its TPM back', async () => {
    const events = machine.events().length
    const { d } = machine
    await d.agent.stop('SIGKILL')
    await d.tpm.powerCycle()
    await d.measureFirmware()
    const safe = async () => /safe: yes/.test(await d.tpm.tool('tpm2_readclock')) || undefined
    await d.verifier.waitUntil('a clock that the TPM calls safe', safe)
    await d.startAgent()
    await machine.stands('trusted', () => machine.events().length === events + 2)
    assert.deepEqual(machine.events().slice(events), ['trusted warning', 'warning trusted'])
    await assertUsable(machine.node)
  })

  it('goes on after the TPM was restarted under it, as from hibernation', async () => {
    const events = machine.events().length
    await machine.d.agent.stop()
    await machine.d.tpm.tool('tpm2_shutdown') // TPM2_Shutdown(STATE), then Startup(CLEAR)
    await machine.d.tpm.powerCycle()
    await machine.d.measureFirmware()
    await machine.d.startAgent()
    await machine.rounds(2)
    assert.equal(machine.seen().standing, 'trusted')
    assert.deepEqual(machine.events().slice(events), [])
    await assertUsable(machine.node)
  })
})
