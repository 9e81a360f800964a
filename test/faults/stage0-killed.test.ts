import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AgentProxy } from '../support/agent-proxy.ts'
import { HOLDFAST_PROGRAM, type Ran } from '../support/holdfast.ts'
import { type Ended, ended, said } from '../support/pods.ts'
import { handedOver, stage0Records } from '../support/stage0.ts'
import { assertInStep, assertUsable, needsWholePath, quiet, startNode, type WholeNode } from '../support/whole-path.ts'

describe('launches by the stage0 server, when somebody dies', () => {
  let node: WholeNode
  let proxy: AgentProxy
  const children = new Set<ChildProcess>()

  before(async function () {
    needsWholePath(this)
    node = await startNode({ stage0: true })
    proxy = await AgentProxy.start(join(node.d.directory, 'proxy.sock'), node.d.agentSocket)
  })
  after(async () => {
    for (const child of children) child.kill('SIGKILL')
    await proxy?.stop()
    await node?.d.stop()
  })
  afterEach(async () => {
    if (node === undefined) return
    proxy.hook = (_, answer) => answer
    await assertUsable(node)
  })

  function start(...args: readonly string[]): ChildProcess {
    const options = [...node.d.nodeOptions, '--agent', proxy.socket, ...args]
    const child = spawn(HOLDFAST_PROGRAM, ['run', ...options], { stdio: ['pipe', 'pipe', 'pipe'] })
    children.add(child)
    child.once('close', () => children.delete(child))
    return child
  }
  const uuidFile = (): string => join(node.d.directory, 'uuid-of-killed')

  /**
   * A launch that the agent has allowed and of which stage0 has not heard yet. @returns what lets it hear, and its end
   */
  async function allowed(): Promise<{ child: ChildProcess; end: Promise<Ended>; uuid: string; go: () => void }> {
    let go: () => void = () => {}
    const decided = new Promise<void>((resolve) => {
      proxy.hook = (_, answer) => {
        assert.equal(answer.status, 200)
        resolve()
        return new Promise((goOn) => {
          go = () => goOn(answer)
        })
      }
    })
    const child = start('--uuid-file-save', uuidFile(), node.image, '--', 'echo', 'started all the same')
    const end = ended(child)
    await decided
    return { child, end, uuid: readFileSync(uuidFile(), 'utf8'), go }
  }

  async function recordsOf(uuid: string): Promise<string[]> {
    const records = await assertInStep(node.d)
    return records.flatMap((r) => ('uuid' in r && r.uuid === uuid ? [r.record] : []))
  }

  async function stateOf(uuid: string): Promise<string | undefined> {
    const status = await node.d.expect('status', '--dir', node.d.dataDirectory, uuid)
    return /^state=(.*)$/m.exec(status)?.[1]
  }

  for (const signal of ['SIGKILL', 'SIGINT'] as const) {
    it(`${signal} of the caller: nothing starts, and the log says that it has ended`, async () => {
      const { child, end, uuid, go } = await allowed()
      child.kill(signal)
      assert.equal((await end).signal, signal)
      await node.d.stage0.waitUntil('it gives up', async () =>
        stage0Records(node.d.directory).at(-1)?.msg === 'given up' ? true : undefined,
      )
      go()
      assert.deepEqual(await recordsOf(uuid), ['pod', 'launch', 'exited'])
      assert.equal(await stateOf(uuid), 'garbage')
    })
  }

  it('SIGKILL of the server: the caller says so and tries nothing a second time; the next ones start cold', async () => {
    const { end, uuid, go } = await allowed()
    await node.d.stage0.stop('SIGKILL')
    const ran = await end
    assert.deepEqual([ran.status, ran.stdout], [254, ''])
    assert.match(ran.stderr, /^holdfast run: the stage0 server at .* ended or hangs; nothing was started/)
    go()
    assert.deepEqual(await recordsOf(uuid), ['pod', 'launch', 'exited'])
    assert.equal(await stateOf(uuid), 'exited')
    const before = handedOver(node.d.directory)
    await assertUsable(node)
    assert.equal(handedOver(node.d.directory), before)
    await node.d.startStage0()
    await assertUsable(node)
    assert.equal(handedOver(node.d.directory), before + 1)
  })

  it('SIGTERM of the server: what it has in hand comes to its end', async () => {
    const { end, go } = await allowed()
    const stopped = node.d.stage0.stop('SIGTERM')
    await node.d.stage0.waitUntil('its last words', async () =>
      stage0Records(node.d.directory).at(-1)?.msg === 'stops' ? true : undefined,
    )
    go()
    const ran = await end
    assert.deepEqual(ran, { status: 0, signal: null, stdout: 'started all the same\n', stderr: '' })
    assert.equal(await stopped, 0)
    await node.d.startStage0()
  })

  it('a pod that runs goes on without the server, locked until its end', async () => {
    const child = start('--uuid-file-save', uuidFile(), node.image, '--', 'sh', '-c', 'echo up; read line; exit 8')
    const end = ended(child)
    await said(child, 'up')
    const uuid = readFileSync(uuidFile(), 'utf8')
    await node.d.stage0.stop('SIGKILL')
    assert.equal(await stateOf(uuid), 'running')
    child.stdin?.end('\n')
    assert.equal((await end).status, 8)
    assert.deepEqual(await recordsOf(uuid), ['pod', 'launch', 'exited'])
    assert.equal(await stateOf(uuid), 'exited')
    await node.d.startStage0()
  })

  it('twenty at once: each caller gets its own pod, ticket and status', async () => {
    const { d } = node
    const before = handedOver(d.directory)
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) => d.launch(node.image, '--', 'sh', '-c', `echo ${i}; exit ${i}`)),
    )
    assert.deepEqual(
      all,
      all.map((_, i): Ran => ({ status: i, stdout: `${i}\n`, stderr: '' })),
    )
    assert.equal(handedOver(d.directory), before + 20)
    const records = await assertInStep(d)
    const tickets = records.flatMap((r) => (r.record === 'launch' ? [r.ticket] : []))
    assert.equal(new Set(tickets).size, tickets.length)
  })

  it('the agent: the caller is told, and the server goes on', async () => {
    const { end } = await allowed()
    await node.d.agent.stop('SIGKILL')
    await proxy.stop()
    const ran = await end
    assert.equal(ran.status, 254)
    assert.match(ran.stderr, /AGENT_/)
    await node.d.startAgent()
    await node.d.waitForUplink('connected')
    proxy = await AgentProxy.start(join(node.d.directory, 'proxy.sock'), node.d.agentSocket)
    await quiet(node.d)
  })
})
