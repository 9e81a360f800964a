import assert from 'node:assert/strict'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { exitedRecord } from '../../agent/pod-watch.ts'
import type { ExitedRecord } from '../../attestation/event-log/index.ts'
import { makePod, type TestPod } from './support/pod.ts'
import { eventually } from './support/real-node.ts'
import { SoftNode } from './support/soft-node.ts'

describe('the end of a pod', () => {
  let node: SoftNode
  beforeEach(async () => {
    node = await SoftNode.make()
  })
  afterEach(() => node.stop())

  const started = async (pod: TestPod = node.pod()): Promise<TestPod> => {
    assert.equal((await node.launch(pod.body)).status, 200)
    pod.handOver()
    return pod
  }
  const end = async (uuid: string): Promise<ExitedRecord> => {
    for (;;) {
      const found = (await node.log()).find((r) => r.record === 'exited' && r.uuid === uuid)
      if (found?.record === 'exited') return found
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const move = (pod: TestPod, to: string): void => {
    const target = join(dirname(dirname(pod.directory)), to)
    mkdirSync(target, { recursive: true })
    renameSync(pod.directory, join(target, pod.uuid))
  }

  it('is recorded with the statuses of its apps when its lock falls, and shown to the verifier', async () => {
    const agent = await node.connected()
    const pod = await started()
    pod.exit('web', 0)
    pod.exit('db', 137)
    assert.equal(agent.status().launches.running, 1)
    pod.unlock()
    const record = await end(pod.uuid)
    assert.deepEqual(record, { record: 'exited', uuid: pod.uuid, statuses: { web: 0, db: 137 }, reason: 'exited' })
    assert.equal(agent.status().launches.running, 0)
    assert.equal(await node.agrees(), true)
  })

  it('is not recorded while it holds its lock, whatever its statuses say', async () => {
    const agent = await node.connected()
    const pod = await started()
    pod.exit('web', 0)
    const other = await started()
    other.unlock()
    await end(other.uuid) // the agent has looked at both
    assert.equal(agent.status().launches.running, 1)
  })

  it('without statuses was a kill', async () => {
    await node.connected()
    const pod = await started()
    pod.unlock()
    assert.equal((await end(pod.uuid)).reason, 'killed')
  })

  it('that never was handed to a stage1 says so', async () => {
    await node.connected()
    const pod = node.pod()
    await node.launch(pod.body)
    move(pod, 'exited-garbage')
    pod.unlock()
    assert.equal((await end(pod.uuid)).reason, 'not-started')
  })

  it('is found after the pod was moved to the garbage', async () => {
    await node.connected()
    const pod = await started()
    pod.exit('web', 2)
    move(pod, 'exited-garbage')
    pod.unlock()
    assert.deepEqual((await end(pod.uuid)).statuses, { web: 2 })
  })

  it('is recorded also when its directory is gone', async () => {
    await node.connected()
    const pod = await started()
    rmSync(pod.directory, { recursive: true })
    pod.unlock()
    assert.deepEqual(await end(pod.uuid), { record: 'exited', uuid: pod.uuid, statuses: {}, reason: 'killed' })
  })

  it('is watched where stage0 said the pod would be, also by the next agent', async () => {
    await node.connected()
    const elsewhere = makePod(join(node.directory, 'elsewhere'))
    await started(elsewhere)
    await node.stopAgents()
    const agent = await node.connected()
    assert.equal(agent.status().launches.running, 1)
    elsewhere.exit('web', 4)
    elsewhere.unlock()
    assert.deepEqual((await end(elsewhere.uuid)).statuses, { web: 4 })
  })

  it('that came while no agent ran is recorded by the next one', async () => {
    await node.connected()
    const [ended, running] = [await started(), await started()]
    await node.stopAgents()
    ended.exit('web', 1)
    ended.unlock()
    const agent = await node.connected()
    assert.deepEqual((await end(ended.uuid)).statuses, { web: 1 })
    assert.equal(agent.status().launches.running, 1)
    running.unlock()
    assert.equal((await end(running.uuid)).reason, 'killed')
  })

  it('reads no status that is none, and follows no link', async () => {
    await node.connected()
    const pod = await started()
    pod.exit('web', 7)
    const status = join(pod.directory, 'status')
    writeFileSync(join(status, 'words'), 'hello')
    writeFileSync(join(status, 'large'), '256')
    writeFileSync(join(status, 'long'), '1'.repeat(1_000_000))
    mkdirSync(join(status, 'directory'))
    symlinkSync(join(status, 'web'), join(status, 'link'))
    pod.unlock()
    assert.deepEqual((await end(pod.uuid)).statuses, { web: 7 })
  })

  it('of a launch that a killed agent left undecided is a denial', async () => {
    const agent = await node.connected()
    node.verifier.script = (_peer, message) => message.t === 'quoted'
    const pod = node.pod()
    const answer = node.launch(pod.body)
    answer.catch(() => undefined) // this agent never comes to answer
    await eventually(() => agent.status().log.records === 4)
    node.tpm.before = () => {
      throw Object.assign(new Error('dead'), { code: 'TPM_GONE' })
    }
    node.verifier.peers.at(-1)?.ws.terminate()
    await answer
    await node.stopAgents()
    node.tpm.before = () => {}
    node.verifier.script = () => false
    await node.connected()
    await eventually(() => node.lines.length > 0)
    for (;;) {
      const denied = (await node.log()).find((r) => r.record === 'denied' && r.uuid === pod.uuid)
      if (denied !== undefined) break
    }
    assert.equal(await node.agrees(), true)
  })

  it('has a reason for each way to end', () => {
    const statuses = { a: 0 }
    assert.equal(exitedRecord('u', { kind: 'gone' }).reason, 'killed')
    assert.equal(exitedRecord('u', { kind: 'ended', started: true, statuses }).reason, 'exited')
    assert.equal(exitedRecord('u', { kind: 'ended', started: true, statuses: {} }).reason, 'killed')
    assert.equal(exitedRecord('u', { kind: 'ended', started: false, statuses: {} }).reason, 'not-started')
    assert.equal(exitedRecord('u', { kind: 'ended', started: false, statuses }).reason, 'not-started')
  })
})
