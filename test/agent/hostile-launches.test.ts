import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { SoftNode } from './support/soft-node.ts'

// Whoever is in the socket's group may ask for launches without being root.
describe('a member of the socket’s group', () => {
  let node: SoftNode
  beforeEach(async () => {
    node = await SoftNode.make()
  })
  afterEach(() => node.stop())

  it('cannot have the end of a running pod recorded by asking for it again in another place', async () => {
    const agent = await node.connected()
    const pod = node.pod()
    assert.equal((await node.launch(pod.body)).status, 200)
    const elsewhere = join(node.directory, 'elsewhere', pod.uuid)
    mkdirSync(elsewhere, { recursive: true })
    const again = await node.launch({ ...pod.body, podDirectory: elsewhere })
    assert.equal(again.body['code'], 'LAUNCH_REPEATED')
    const other = node.pod()
    await node.launch(other.body)
    other.unlock()
    while (!(await node.log()).some((r) => r.record === 'exited' && r.uuid === other.uuid)) {
      await new Promise((resolve) => setTimeout(resolve, 20)) // the agent looks at all pods
    }
    assert.ok(!(await node.log()).some((r) => r.record === 'exited' && r.uuid === pod.uuid))
    assert.equal(agent.status().launches.running, 1)
  })

  it('cannot have a record extended that nobody would be able to read', async () => {
    await node.connected()
    const pod = node.pod()
    const path = `/${'\u0001'.repeat(4090)}`
    const hostPrograms = Array.from({ length: 16 }, () => ({ path, sha256: 'a'.repeat(64) }))
    const { status, body } = await node.launch({ ...pod.body, stage1: { ...pod.body.stage1, hostPrograms } })
    assert.deepEqual([status, body['code']], [503, 'EVENT_LOG_TOO_LONG'])
    assert.equal((await node.launch()).status, 200) // and the log goes on
    await node.stopAgents()
    await node.start() // and is read again
    assert.equal(await node.agrees(), true)
  })

  it('has each name measured under which an image is asked for', async () => {
    await node.connected()
    const pod = node.pod()
    const [image] = pod.body.images
    assert.ok(image)
    const names = ['docker://one.example/a:1', 'docker://two.example/b:1']
    const images = names.map((name) => ({ ...image, name }))
    assert.equal((await node.launch({ ...pod.body, images })).status, 200)
    const measured = (await node.log()).flatMap((r) => (r.record === 'image' ? r.name : []))
    assert.deepEqual(measured, names)
  })
})
