import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, copyFileSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { Deployment } from '../support/deployment.ts'
import { HOLDFAST_PROGRAM, PROJECT_ROOT, type Ran, run } from '../support/holdfast.ts'
import { writeBusyboxLayout } from '../support/images.ts'
import { cannotHaveUsers, MachineUsers, rightsOf, USERS, type Who } from '../support/machine-users.ts'
import { needsWholePath } from '../support/whole-path.ts'

const CAP_KILL = 1n << 5n
const AGENT = USERS['holdfast-agent'].uid
const LOOK_GROUP = 64_101

describe('an agent that is not root', function () {
  this.timeout(120_000)
  let machine: MachineUsers
  let d: Deployment
  let image: string

  before(async function () {
    needsWholePath(this)
    const reason = cannotHaveUsers()
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
    machine = new MachineUsers()
    // as its unit has it: config/systemd/holdfast-agent.service
    d = await Deployment.prepare({ agentPrefix: [...machine.as('holdfast-agent', ['kill']), '--'] })
    directory(d.dataDirectory, 0, LOOK_GROUP, 0o750)
    directory(join(d.dataDirectory, 'agent'), AGENT, 64_103, 0o700)
    directory(join(d.directory, 'run'), 0, 64_103, 0o1775)
    writeFileSync(join(d.directory, 'enrolment-token'), '', { mode: 0o600 })
    chownSync(join(d.directory, 'enrolment-token'), AGENT, 64_103)
    await d.startVerifier()
    d.agentTrust = join(d.directory, 'trust.json')
    copyFileSync(d.trustFile, d.agentTrust)
    chmodSync(d.agentTrust, 0o644)
    writeFileSync(join(d.directory, 'agent.yaml'), '')
    chmodSync(join(d.directory, 'agent.yaml'), 0o644)
    await d.enrol()
    writeBusyboxLayout(join(machine.directory, 'busybox'))
    image = `oci:${join(machine.directory, 'busybox')}:latest`
  })
  after(async () => {
    await d?.stop()
    machine?.remove()
  })

  const as = (who: Who, ...args: readonly string[]): Promise<Ran> => machine.exec(who, HOLDFAST_PROGRAM, ...args)
  const start = (...args: readonly string[]): ChildProcess =>
    machine.start('root', process.env, HOLDFAST_PROGRAM, 'run', ...d.nodeOptions, ...args)

  it('has the right to end processes of others, and no other', () => {
    const { uid, gid, groups, capabilities } = rightsOf(d.agent.pid)
    assert.deepEqual({ uid, gid, capabilities }, { uid: AGENT, gid: 64_103, capabilities: CAP_KILL })
    assert.deepEqual(new Set(groups), new Set([LOOK_GROUP]))
  })

  it('has a pod launched by root measured and authorised, and records its end', async () => {
    const ran = await as('root', 'run', ...d.nodeOptions, image, '--', 'sh', '-c', 'echo up; exit 7')
    assert.deepEqual([ran.status, ran.stdout], [7, 'up\n'], ran.stderr)
    const exited = await d.agent.waitUntil('the end of the pod', async () => {
      const log = JSON.parse(await d.agentGet('/v1/log')) as { content: { record?: string } }[] // CEL-JSON of the agent
      return log.map((r) => r.content).find((c) => c.record === 'exited')
    })
    assert.deepEqual(
      { ...exited, uuid: '' },
      { holdfast: 1, record: 'exited', uuid: '', reason: 'exited', statuses: { busybox: 7 } },
    )
  })

  it('shows who may look the pod, its end and the log, and the others nothing', async () => {
    const listed = await as('looker', 'list', '--no-legend', '--dir', d.dataDirectory)
    assert.equal(listed.status, 0, listed.stderr)
    assert.match(listed.stdout, /busybox +oci:\S+ +exited +7 +enforce/)
    const uuid = listed.stdout.split(' ')[0] ?? ''
    assert.match((await as('looker', 'status', uuid, '--dir', d.dataDirectory)).stdout, /^app-busybox=7$/m)
    assert.match((await as('looker', 'log', '--socket', d.agentSocket)).stdout, /exited/)
    assert.equal((await as('outsider', 'list', '--dir', d.dataDirectory)).status, 254)
    assert.equal((await as('outsider', 'log', '--socket', d.agentSocket)).status, 254)
  })

  it('lets nobody but root ask for a launch or an enter', async () => {
    for (const path of ['/v1/launches', '/v1/enters']) {
      const ask = `require('http').request({socketPath:process.argv[1],path:process.argv[2],method:'POST',agent:false},r=>{r.resume();process.stdout.write(String(r.statusCode))}).end('{}')`
      const said = await machine.exec('looker', process.execPath, '-e', ask, d.agentSocket, path)
      assert.equal(said.stdout, '401', said.stderr)
      assert.equal(await statusOf(d.agentSocket, path), 400, 'root is asked for a body')
    }
  })

  it('gives evidence', async () => {
    const file = join(machine.directory, 'node.evidence')
    const ran = await as('root', 'evidence', 'collect', '--socket', d.agentSocket, '--output', file)
    assert.equal(ran.status, 0, ran.stderr)
    assert.match(ran.stderr, /quote +16 registers/)
    assert.ok(statSync(file).size > 1000)
  })

  it('ends the pods of root when it is told to', async () => {
    const pod = start(image, '--', 'sh', '-c', 'echo up; sleep 1000')
    try {
      await once(pod.stdout ?? assert.fail(), 'data')
      const listed = await as('looker', 'list', '--full', '--no-legend', '--dir', d.dataDirectory)
      const uuid = /^([0-9a-f-]{36}) .* running /m.exec(listed.stdout)?.[1] ?? assert.fail(listed.stdout)
      const script = join(PROJECT_ROOT, 'test/support/stop-pod.ts')
      const command = ['--', process.execPath, '--import=tsx', script, uuid, join(d.dataDirectory, 'pods/run', uuid)]
      const closed = once(pod, 'close')
      const without = await machine.exec('holdfast-agent', ...command.slice(1))
      assert.equal(without.stdout, 'runs', 'the capability is needed')
      const [program = '', ...args] = [...machine.as('holdfast-agent', ['kill']), ...command]
      const ended = await run(program, args)
      assert.equal(ended.stdout, 'ended', ended.stderr)
      await closed
    } finally {
      pod.kill('SIGKILL')
    }
  })

  it('is not believed by stage0 where it is neither root’s nor the agent’s user’s', async () => {
    const socket = join(machine.directory, 'liar')
    mkdirSync(socket, { mode: 0o777 })
    chmodSync(socket, 0o777)
    const path = join(socket, 'agent.sock')
    const serve = `require('http').createServer((q,r)=>r.end('{}')).listen(process.argv[1],()=>console.log('up'))`
    const liar = machine.start('outsider', process.env, process.execPath, '-e', serve, path)
    try {
      await once(liar.stdout ?? assert.fail(), 'data')
      const options = d.nodeOptions.map((o) => (o === d.agentSocket ? path : o))
      const ran = await as('root', 'run', ...options, image, '--', 'true')
      assert.equal(ran.status, 254)
      assert.match(ran.stderr, /AGENT_NOT_TRUSTED/)
    } finally {
      liar.kill('SIGKILL')
    }
  })
})

function directory(path: string, uid: number, gid: number, mode: number): void {
  mkdirSync(path, { recursive: true })
  chownSync(path, uid, gid)
  chmodSync(path, mode)
}

function statusOf(socketPath: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, method: 'POST', agent: false }, (answer) => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
    call.on('error', reject)
    call.end('{}')
  })
}
